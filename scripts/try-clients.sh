#!/usr/bin/env bash
# Runs the example clients (Rust and Python) against a gateway in demo mode.
#
#   scripts/try-clients.sh CLAUDE_WS CLAUDE PYTHON
set -euo pipefail
cd "$(dirname "$0")/.."
binary=$1 claude=$2 python=$3
dir=$(mktemp -d)
"$binary" --demo --ephemeral --claude-bin "$claude" --bind 127.0.0.1:0 --workspace-root "$dir" >"$dir/out" 2>"$dir/log" &
gateway=$!
finish() {
    kill "$gateway" 2>/dev/null && wait "$gateway" 2>/dev/null
    rm -rf "$dir"
}
trap finish EXIT
until grep -q '  access' "$dir/out"; do
    kill -0 "$gateway" || { cat "$dir/log"; exit 1; }
    sleep 0.1
done
url=$(sed -n 's/^ *WebSocket *//p' "$dir/out")
try() {
    local name=$1
    shift
    echo "--- $name"
    "$@" --url "$url" --allow "echo hello from $name" "touch $name.txt" | tee "$dir/$name"
    grep -q "^hello from $name$" "$dir/$name"
    test -e "$dir/$name.txt" || { echo "$name: the tool did not run"; exit 1; }
}
try python "$python" examples/client.py
try rust cargo run --quiet --example client --
echo "both clients work"
