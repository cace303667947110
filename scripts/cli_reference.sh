#!/usr/bin/env bash
# Writes docs/src/reference/cli.md from the commands' own --help: scripts/cli_reference.sh [--check] [BIN_DIR]
# With --check it writes nothing and fails if the page is not what the commands say. BIN_DIR: that of cargo's development profile if not given.
set -euo pipefail
cd "$(dirname "$0")/.."
page=docs/src/reference/cli.md
check=no
if [ "${1:-}" = --check ]; then check=yes; shift; fi
bin=${1:-${CARGO_TARGET_DIR:-target}/debug}
for command in train sensitivity retrain; do
    if [ ! -x "$bin/$command" ]; then
        echo "$bin/$command is missing: cargo build --workspace --locked" >&2
        exit 1
    fi
done

# The help is wrapped at the width that COLUMNS says, whatever the terminal is.
export COLUMNS=100 NO_COLOR=1 TERM=dumb

section() { # HEADING COMMAND [SUBCOMMAND]
    local text
    text=$("$bin/$2" "${@:3}" --help </dev/null | sed 's/[[:space:]]*$//')
    printf '\n%s `%s`\n\n```text\n%s\n```\n' "$1" "${*:2}" "$text"
}

new=$(mktemp)
trap 'rm -f "$new"' EXIT
{
    cat <<'FRAME'
# Command line

This page is the output of `--help` of every command.
`scripts/cli_reference.sh` writes it, and the gate compares it with the commands.

| command | does | page |
| --- | --- | --- |
| `train` | trains a score model | [Training a model](../guide/training.md) |
| `train classifier` | trains a classifier for `--of log-odds` | [Influence of training images](../guide/influence.md) |
| `sensitivity` | ranks samples by their sensitivity | [Ranking samples](../guide/ranking.md) |
| `sensitivity influence` | computes the influence of every training image | [Influence of training images](../guide/influence.md) |
| `sensitivity merge` | joins the shares of a run that several machines computed | [Many machines](../guide/many-machines.md) |
| `sensitivity check` | tells whether a model is one of the data | [Your own model](../guide/your-model.md) |
| `sensitivity convergence` | runs the studies in closed form | [Verification in closed form](../results/verification.md) |
| `retrain` | runs retraining experiments | [Verification by retraining](../guide/retraining.md) |

All commands exit with 0 on success, 1 on an error and 2 where the arguments are not understood.
An error is one sentence on the standard error output.
FRAME
    section '##' train
    section '###' train classifier
    section '##' sensitivity
    section '###' sensitivity influence
    section '###' sensitivity merge
    section '###' sensitivity check
    section '###' sensitivity convergence
    section '##' retrain
    for subcommand in plan run status table; do
        section '###' retrain "$subcommand"
    done
} >"$new"

if [ "$check" = yes ]; then
    if ! diff -u "$page" "$new" >&2; then
        echo "$page is not what the commands say: run scripts/cli_reference.sh" >&2
        exit 1
    fi
else
    cp "$new" "$page"
fi
