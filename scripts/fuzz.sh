#!/usr/bin/env bash
# Fuzzes a reader for some seconds: scripts/fuzz.sh checkpoint|selection SECONDS [libFuzzer option]…
# Fails if an input crashed it, hung it or took too much memory; all of them are kept in fuzz/artifacts.
#
# Needs `cargo install cargo-fuzz --locked` and a C++ compiler. Coverage and sanitizer are unstable flags, which RUSTC_BOOTSTRAP lets
# the pinned compiler take; SANITIZER=none halves the time of a build and of a run.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:?a target: checkpoint or selection}
seconds=${2:?seconds}
shift 2

corpus=$PWD/fuzz/corpus/$target
artifacts=$PWD/fuzz/artifacts/$target
mkdir -p "$corpus" "$artifacts"
export RUSTC_BOOTSTRAP=1 FUZZ_SEEDS=$corpus
# One process after the other, each to its end, so that the first find is not the last.
cargo fuzz run "$target" "$corpus" --sanitizer "${SANITIZER:-address}" -- -fork=1 -ignore_crashes=1 -ignore_ooms=1 -ignore_timeouts=1 \
    -max_total_time="$seconds" -timeout=20 -malloc_limit_mb=512 -rss_limit_mb=2048 -max_len=65536 -dict="fuzz/$target.dict" "$@"

found=$(find "$artifacts" -type f | wc -l)
if [ "$found" -gt 0 ]; then
    echo "$found inputs in $artifacts, to be run again by: RUSTC_BOOTSTRAP=1 cargo fuzz run $target FILE" >&2
    exit 1
fi
