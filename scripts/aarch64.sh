#!/bin/sh
# The program on a 64-bit ARM processor that qemu emulates: scripts/aarch64.sh [loops|tests|ranking]
# 1. loops: the kernels' loops against textbook sums, without Burn. Takes a minute.
# 2. tests: the kernels against Burn's own operations, and the rules of burn-jvp. Compiles Burn for ARM.
# 3. ranking: four samples of the shipped model, ranked there and here: the same order, and the largest difference.
# Without an argument, all three.
set -eu
cd "$(dirname "$0")/.."
target=aarch64-unknown-linux-gnu

needs() {
    echo "scripts/aarch64.sh needs $1" >&2
    exit 1
}
[ -d "$(rustc --print target-libdir --target $target)" ] || needs "Rust's library for ARM: rustup target add $target"
command -v aarch64-linux-gnu-gcc >/dev/null || needs "a linker for ARM, in Debian's package gcc-aarch64-linux-gnu"
command -v qemu-aarch64-static >/dev/null || needs "an emulated processor, in Debian's package qemu-user-static"

emulator="qemu-aarch64-static -L /usr/aarch64-linux-gnu"
export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$emulator"

arm() {
    command=$1
    shift
    cargo "$command" --locked --target $target --target-dir target/aarch64 "$@"
}

loops() {
    cargo test --locked --release --target $target --target-dir target/aarch64-loops \
        --manifest-path crates/burn-cpu-kernels/sanitize/Cargo.toml
}

# The command is named for the features that it switches on.
tests() {
    arm test -p burn-cpu-kernels -p burn-jvp -p sensitivity --lib --test agree --test jvp --test rules --test modules \
        --test weights --test custom_rule --test second_order --test torch --test composition
}

ranking() {
    arm build -p sensitivity
    cargo build --locked -p sensitivity
    out=$(mktemp -d)
    trap 'rm -r "$out"' EXIT
    target/debug/sensitivity --samples 4 --steps 6 --out "$out/here"
    $emulator target/aarch64/$target/debug/sensitivity --samples 4 --steps 6 --out "$out/arm"
    python3 scripts/compare_rankings.py "$out/here" "$out/arm"
}

for part in ${1:-loops tests ranking}; do
    case $part in
    loops | tests | ranking) $part ;;
    *) needs "no part but loops, tests or ranking" ;;
    esac
done
