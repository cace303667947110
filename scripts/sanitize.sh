#!/bin/sh
# The kernels' loops under AddressSanitizer. Its flag is unstable; RUSTC_BOOTSTRAP lets the pinned compiler, which ships
# the sanitizer's runtime on Linux, take it without a nightly one.
# Miri does not know the vector instructions; run there, it would see the portable loops only.
set -eu
cd "$(dirname "$0")/.."
target=x86_64-unknown-linux-gnu
if ! ls "$(rustc --print sysroot)/lib/rustlib/$target/lib/" | grep -q asan; then
    echo "SKIPPED: the kernels under AddressSanitizer, for which this compiler has no runtime on $target"
    exit 0
fi
RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" exec cargo test --locked \
    --manifest-path crates/burn-cpu-kernels/sanitize/Cargo.toml --target-dir target/sanitize --target "$target" "$@"
