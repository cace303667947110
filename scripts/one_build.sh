#!/usr/bin/env bash
# One build for all commands: `cargo test --workspace` compiles no outside crate again that `cargo run -p PACKAGE` has compiled.
# Fails, and prints the difference, if such a crate has another version or other features in the two builds,
# or if Cargo.toml sets the optimisation of a package that does not exist.
set -euo pipefail
cd "$(dirname "$0")/.."

# Outside crates of a build, one "name version [features]" a line.
outside() {
  cargo tree --locked --prefix none -f '{p} [{f}]' "$@" | sed 's/ (\*)$//' | grep -v -e ' (/' -e '^$' | sort -u
}

failed=0
workspace=$(outside --workspace -e normal,build,dev)
for main in crates/*/src/main.rs; do
  package=$(basename "${main%/src/main.rs}")
  difference=$(comm -23 <(outside -p "$package" -e normal,build) <(echo "$workspace"))
  [[ -n $difference ]] || continue
  failed=1
  echo "cargo run -p $package (-) and cargo test --workspace (+) compile these crates differently:" >&2
  while IFS= read -r line; do
    echo "  - $line" >&2
    grep -F "${line%% [*} [" <<<"$workspace" | sed 's/^/  + /' >&2 || true
  done <<<"$difference"
done

packages=$(cargo tree --locked --workspace -e normal,build,dev --prefix none -f '{p}' | cut -d ' ' -f 1 | sort -u)
profiled=$(sed -n -e 's/^\([a-z0-9_-]*\)\.opt-level = .*/\1/p' -e 's/^\[profile\.dev\.package\.\([a-z0-9_-]*\)\]$/\1/p' Cargo.toml | sort -u)
missing=$(comm -13 <(echo "$packages") <(echo "$profiled"))
if [[ -n $missing ]]; then
  failed=1
  echo "Cargo.toml optimises packages that do not exist:" $missing >&2
fi
exit $failed
