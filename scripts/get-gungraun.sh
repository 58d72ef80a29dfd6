#!/bin/sh
# Makes sure that valgrind and gungraun's runner are there, for benches/instructions.rs; prints the runner's path. The runner must be
# of the version that Cargo.lock has.
set -eu
cd "$(dirname "$0")/.."
scripts/need.sh valgrind=valgrind >&2
version=$(sed -n '/^name = "gungraun-runner"$/{n;s/version = "\(.*\)"/\1/p;}' Cargo.lock)
root=$PWD/target/gungraun-runner-$version
# Not optimized: it only starts valgrind and reads what that wrote.
[ -x "$root/bin/gungraun-runner" ] || cargo install --quiet --locked --debug --root "$root" "gungraun-runner@$version" >&2
echo "$root/bin/gungraun-runner"
