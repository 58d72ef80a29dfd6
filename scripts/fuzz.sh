#!/bin/sh
# Runs each fuzz target for FUZZ seconds (60). Not part of `make test`: it needs the nightly toolchain and cargo-fuzz.
set -eu
cd "$(dirname "$0")/.."
seconds=${FUZZ:-60}

if ! rustup run nightly rustc --version >/dev/null 2>&1; then
    echo "fuzz: cannot run: no nightly toolchain (rustup toolchain install nightly)" >&2
    exit 1
fi
if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "fuzz: cannot run: no cargo-fuzz (cargo install cargo-fuzz)" >&2
    exit 1
fi

# Both the library and the fuzz target carry the bundled SQLite; that they are the same is what the sanitizer complains of.
export ASAN_OPTIONS=detect_odr_violation=0

# Seeds: recorded streams of the real CLI for what agents write, and one frame of each kind for what clients send.
for target in agent_lines converter client_frame; do
    mkdir -p "fuzz/corpus/$target"
done
for file in tests/fixtures/streams/*/*.jsonl; do
    name=$(echo "$file" | tr / _)
    head -c 16384 "$file" >"fuzz/corpus/converter/$name"
    { head -c 8192 "$file"; printf '\377'; } >"fuzz/corpus/agent_lines/$name"
done
number=0
while IFS= read -r frame; do
    number=$((number + 1))
    printf '%s' "$frame" >"fuzz/corpus/client_frame/seed-$number"
done <fuzz/seeds/client_frames.jsonl

for target in client_frame agent_lines converter; do
    echo "== $target: $seconds s"
    cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
done
