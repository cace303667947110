#!/bin/sh
# The kernels' loops under AddressSanitizer, which needs a nightly compiler (rustup toolchain install nightly).
# Miri does not know the vector instructions; run there, it would see the portable loops only.
set -eu
cd "$(dirname "$0")/.."
RUSTFLAGS="-Zsanitizer=address" exec cargo +nightly test \
    --manifest-path crates/kernels/sanitize/Cargo.toml --target-dir target/sanitize \
    --target x86_64-unknown-linux-gnu "$@"
