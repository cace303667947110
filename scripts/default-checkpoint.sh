#!/usr/bin/env bash
# Makes checkpoints/faces16.safetensors, the model that `cargo run -p sensitivity` uses when none is named:
# 5,000 steps on 10,000 procedural faces at 16×16, about half an hour on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo run -p train -- --data faces:10000 --preset faces16 --out runs/faces16 \
    --export checkpoints/faces16.safetensors "$@"
