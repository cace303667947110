#!/usr/bin/env bash
# Agreement with the CPU and times against PyTorch on one NVIDIA card, without a network: about eight minutes.
#
#     scripts/gpu.sh BIN OUT [SECONDS]
#
# BIN holds `benchmark`, and `train` and `sensitivity` for the whole ranking, which is left out without them. `devices`
# compares every operation with the CPU, by itself:
#
#     cargo build --release -p datasway-diffusion --example benchmark --example devices --features datasway-diffusion/cuda
#     cargo build --release --bins -p train -p sensitivity --features train/cuda,sensitivity/cuda
#
# OUT gets card.txt, the tables as they were printed and the raw times as CSV. python3 needs PyTorch for CUDA, numpy and
# safetensors. The card's driver and CUDA's compiler library (nvrtc) and headers must be installed (CUDA_PATH, or
# /usr/local/cuda). Every process compiles and chooses its kernels anew, for minutes, on one processor each: 16 are good.
set -euo pipefail

bin=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
limit=${3:-480}
scripts=$(realpath "$(dirname "$0")")
begun=$SECONDS
left() { echo $((limit - SECONDS + begun)); }
# The search for fast kernels ends at 60 % of the card's limit rather than 80 %.
export CUBECL_AUTOTUNE_LEVEL=${CUBECL_AUTOTUNE_LEVEL:-minimal} PYTHONUNBUFFERED=1

{
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv,noheader
  python3 -c 'import torch; print("PyTorch", torch.__version__, "cuDNN", torch.backends.cudnn.version())'
  nproc
  grep -m1 'model name' /proc/cpuinfo
} | tee "$out/card.txt"

status=0
python3 "$scripts/benchmark_gpu.py" --datasway "$bin/benchmark" --out "$out" --warm-up $((limit * 7 / 10)) --until "$limit" 2>&1 |
  tee "$out/unet.txt" || status=$?
for size in 32 64; do
  [ -x "$bin/sensitivity" ] && [ "$(left)" -gt 60 ] || continue
  deeper=()
  [ $size = 32 ] || deeper=(network.image_size=64 'network.multipliers=[1,2,2,2]')
  timeout "$(left)" python3 "$scripts/benchmark_sensitivity.py" --device cuda --peers torch --bin "$bin" --rounds 2 \
    --set "${deeper[@]}" --csv "$out/sensitivity-$size.csv" 2>&1 | tee "$out/sensitivity-$size.txt" || status=$?
done
exit $status
