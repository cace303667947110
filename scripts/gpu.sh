#!/usr/bin/env bash
# Agreement with the CPU and times against PyTorch on one NVIDIA card, without a network: about eight minutes.
#
#     scripts/gpu.sh BIN OUT [SECONDS]
#
# BIN holds benchmark, sensitivity and train, built with the cargo feature cuda on this kind of processor:
#
#     cargo build --release --bins --example benchmark -p datasway-diffusion -p sensitivity -p train \
#         --features datasway-diffusion/cuda,sensitivity/cuda,train/cuda
#
# OUT gets card.txt, the tables as they were printed and the raw times as CSV. python3 needs PyTorch for CUDA, numpy and
# safetensors; the card's driver and CUDA's compiler library (nvrtc) and headers must be installed (CUDA_PATH, or
# /usr/local/cuda). Every process of Datasway compiles and chooses its kernels anew: that is in the time of a whole ranking.
set -euo pipefail

bin=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
limit=${3:-480}
scripts=$(realpath "$(dirname "$0")")
begun=$SECONDS
left() { echo $((limit - SECONDS + begun)); }

{
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,clocks.max.sm --format=csv
  python3 -c 'import torch; print("PyTorch", torch.__version__, "CUDA", torch.version.cuda, "cuDNN", torch.backends.cudnn.version())'
  nproc
  grep -m1 'model name' /proc/cpuinfo
} | tee "$out/card.txt"

# Sizes and batches in the order in which they matter, so that what time is left decides what is missing.
for size in 32 64; do
  [ "$(left)" -gt 20 ] || continue
  echo "## Network, $size by $size"
  python3 "$scripts/benchmark.py" --device cuda --size $size --peers torch --datasway "$bin/benchmark" --repeats 5 --rounds 7 --warm 2 \
    --batches 64 256 --until $(($(left) * (size == 32 ? 35 : 60) / 100)) --csv "$out/unet-cuda-$size.csv" 2>&1 | tee "$out/unet-cuda-$size.txt"
done
for size in 32 64; do
  [ "$(left)" -gt 30 ] || continue
  echo "## Whole ranking, $size by $size"
  deeper=()
  [ $size = 64 ] && deeper=(network.image_size=64 'network.multipliers=[1,2,2,2]')
  timeout "$(left)" python3 "$scripts/benchmark_sensitivity.py" --device cuda --bin "$bin" --rounds 3 --set "${deeper[@]}" \
    --csv "$out/sensitivity-cuda-$size.csv" 2>&1 | tee "$out/sensitivity-cuda-$size.txt" || echo "stopped or failed"
done
if [ "$(left)" -gt 60 ]; then
  echo "## torch.compile, 32 by 32"
  timeout "$(left)" python3 "$scripts/benchmark.py" --device cuda --size 32 --peers torch compiled --datasway "$bin/benchmark" --repeats 5 \
    --rounds 5 --warm 1 --only forward jvp1 jvp2 vjp train --batches 256 --no-check --until $(($(left) - 40)) \
    --csv "$out/unet-cuda-compile.csv" 2>&1 | tee "$out/unet-cuda-compile.txt" || echo "stopped or failed"
fi
echo "# $((SECONDS - begun)) s in all"
