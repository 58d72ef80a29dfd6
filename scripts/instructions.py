#!/usr/bin/env python3
"""Counts the instructions of benches/instructions.rs and holds the ratios of the way over the SDK's types to ours.

Instructions do not depend on how busy a machine is, so that CI can hold a figure. They are not time: see docs/performance.md for that.
"""
import json
import os
import subprocess
import sys

# Benchmark and lines, and what the SDK's way must take at least, to ours: a tenth less than it was when it was last looked at.
AT_LEAST = {("ours", "mix"): 6.5, ("ours", "text_delta"): 10.0, ("parsed", "text_delta"): 3.0}
NAMES = {"ours": "claude-ws", "parsed": "its parser alone"}


def count(node):
    """The first whole number in what gungraun says of a metric: the new run's."""
    if isinstance(node, bool):
        return None
    if isinstance(node, int):
        return node
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    return next((found for found in map(count, children) if found is not None), None)


def find(node, key):
    """What stands under a key, however deep."""
    if isinstance(node, dict) and key in node:
        return node[key]
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    return next((found for found in (find(child, key) for child in children) if found is not None), None)


def main():
    runner = subprocess.run(["scripts/get-gungraun.sh"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    command = ["cargo", "bench", "--bench", "instructions", "--", "--output-format=json"]
    environment = dict(os.environ, GUNGRAUN_RUNNER=runner)
    output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True).stdout
    counts = {}
    for line in output.splitlines():
        if line.startswith("{"):
            summary = json.loads(line)
            total = find(summary["profiles"], "total")
            counts[summary["function_name"], summary["id"]] = count(find(total, "Ir"))
    good = True
    print("| lines | by | SDK path, instructions | these | ratio | at least |\n| --- | --- | --: | --: | --: | --: |")
    for (way, lines), least in AT_LEAST.items():
        sdk, ours = counts.get(("sdk", lines)), counts.get((way, lines))
        if not sdk or not ours:
            sys.exit(f"instructions: no count of {lines}; got {counts}\n{output}")
        good &= sdk / ours >= least
        print(f"| {lines} | {NAMES[way]} | {sdk:,} | {ours:,} | {sdk / ours:.2f} | {least} |")
    if not good:
        sys.exit("instructions: a ratio is too low")


if __name__ == "__main__":
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    main()
