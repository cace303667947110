#!/usr/bin/env bash
# Every measurement of the images' part in one run: scripts/benchmark_measures.sh prepare|measure WORK [BIN_DIR]
# `prepare` draws the sets, which is most of the time, and may run on a busy machine. `measure` takes about twelve minutes of a quiet one and
# writes measures-50000.csv, cost-law.csv and products.txt to WORK. BEFORE=OLD/sensitivity is measured too. TOUCH=7 touches 7 GiB before each process. PYTHON has PyTorch.
set -euo pipefail
step=${1:?prepare or measure}
work=${2:?WORK}
bin=${3:-$(dirname "$0")/../target/debug}
python=${PYTHON:-python3}
here=$(dirname "$0")
mkdir -p "$work"

tiny=(--set network.channels=8 --set network.head_channels=8 --set flip=true --batch 8 --steps 1 --sample-every 0)
set_of() { # FOLDER SIZE IMAGES
    if [ ! -e "$1/model/checkpoint.safetensors" ]; then
        "$bin/train" --data "faces:$3" --preset "celeba$2" "${tiny[@]}" --cache "$1/cache" --out "$1/model"
    fi
}

case $step in
prepare)
    set_of "$work/peers" 32 50000
    set_of "$work/peers/few" 32 64
    for images in 64 2500 5000 10000 20000; do set_of "$work/law/32-$images" 32 "$images"; done
    for size in 16 64; do set_of "$work/law/$size-5000" "$size" 5000; done
    if [ ! -e "$work/large/model/checkpoint.safetensors" ]; then
        "$here/large_set.sh" "$work/large" 200000 "$bin"
    fi
    ;;
measure)
    : > "$work/products.txt"
    for threads in 1 2; do
        OMP_NUM_THREADS=$threads "$python" "$here/benchmark_measures.py" --products >> "$work/products.txt"
    done
    "$python" "$here/benchmark_measures.py" --images 50000 --rounds "${ROUNDS:-2}" --work "$work/peers" --binaries "$bin" \
        ${BEFORE:+--before "$BEFORE"} ${TOUCH:+--touch "$TOUCH"} --csv "$work/measures-50000.csv" | tee "$work/measures-50000.txt"
    rm -f "$work/cost-law.csv"
    "$python" "$here/cost_law.py" --work "$work/law" --binaries "$bin" --csv "$work/cost-law.csv"
    "$python" "$here/cost_law.py" --only large --model "$work/large/model" --cache "$work/large/cache" --binaries "$bin" \
        --work "$work/law" --csv "$work/cost-law.csv"
    ;;
*)
    echo "prepare or measure, not $step" >&2
    exit 1
    ;;
esac
