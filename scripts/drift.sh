#!/bin/sh
# What another version of Claude Code says otherwise: scripts/drift.sh VERSION. Fails if it cannot be installed or run.
set -eu
cd "$(dirname "$0")/.."
[ $# -eq 1 ] || { echo "usage: make drift VERSION=2.1.345" >&2; exit 1; }
claude=$(scripts/get-claude.sh "$1" ".claude-code/$1")
cargo build --quiet --example record
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
python3 scripts/drift.py "${CARGO_TARGET_DIR:-target}/debug/examples/record" "$claude" "$out"
