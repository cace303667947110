#!/usr/bin/env bash
# Runs an experiment on this machine and makes its table: scripts/retrain.sh experiments/faces16-quick.toml [OPTION]…
# Options are those of `retrain run` and `retrain table` alike: --out, --data, --cache.
#
# One runner of one thread a core: models this small gain little from a second thread, and runners share a folder.
# Ctrl-C or a crash costs a minute of training; the same command goes on.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --workspace --locked
runners=$(nproc)
pids=()
for _ in $(seq "$runners"); do
  RAYON_NUM_THREADS=1 target/debug/retrain run "$@" &
  pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; done
target/debug/retrain table "$@"
