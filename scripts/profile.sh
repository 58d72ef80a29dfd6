#!/bin/sh
# A flame graph of the gateway under load (20 sessions flat out, one core), in docs/flamegraph.svg. Needs perf.
set -eu
cd "$(dirname "$0")/.."
scripts/need.sh perf=linux-perf
load=${1:-target/release/examples/load}
data=$(mktemp)
trap 'rm -f "$data"' EXIT
"$load" flat --runs 1 --deltas 400000 >/dev/null &
tool=$!
# The relay comes first; what says `--ephemeral` is the gateway.
gateway=
while [ -z "$gateway" ]; do
    kill -0 "$tool"
    gateway=$(pgrep -P "$tool" -f -- --ephemeral || true)
    sleep 0.1
done
sleep 1
perf record -q -e cpu-clock -F 1500 --call-graph dwarf,8192 -p "$gateway" -o "$data" -- sleep 2
perf script --no-inline --comm tokio-rt-worker -i "$data" 2>/dev/null | scripts/flamegraph.py "claude-ws, 20 sessions flat out on one core" >docs/flamegraph.svg
wait "$tool"
