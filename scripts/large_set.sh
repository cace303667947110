#!/usr/bin/env bash
# Draws a large set and trains a network on it for one step: scripts/large_set.sh FOLDER [IMAGES] [BIN_DIR]
# 200,000 faces of 64×64 are 2.5 GB on disk. Then: python3 scripts/cost_law.py --only large --model FOLDER/model --cache FOLDER/cache …
set -euo pipefail
folder=${1:?FOLDER}
images=${2:-200000}
bin=${3:-$(dirname "$0")/../target/debug}
"$bin/train" --data "faces:$images" --preset celeba64 --set network.channels=32 --set flip=true \
    --batch 8 --steps 1 --sample-every 0 --cache "$folder/cache" --out "$folder/model"
