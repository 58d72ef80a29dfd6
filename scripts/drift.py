#!/usr/bin/env python3
"""Runs the recorded flows against another version of Claude Code and prints what it says otherwise.

    scripts/drift.py RECORD CLAUDE OUT_DIR [BASE]

RECORD: the binary of examples/record.rs. CLAUDE: the other version's. BASE: the version to compare with (default: the newest
under tests/fixtures/streams). Differences are news, not a failure; the exit code is 1 if a flow could not be run.
"""

import collections
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
STREAMS = ROOT / "tests/fixtures/streams"
# Objects whose keys are data.
OPEN = {"input", "tool_input", "updatedInput", "modelUsage", "tool_use_result", "properties", "answers", "commands"}


def kind(message):
    """What a line is: its type, and what tells its kinds apart."""
    parts = [message.get("type", "?")]
    if message.get("subtype"):
        parts.append(message["subtype"])
    event = message.get("event")
    if isinstance(event, dict):
        parts.append(event.get("type", "?"))
        for inner in ("content_block", "delta"):
            if isinstance(event.get(inner), dict) and "type" in event[inner]:
                parts.append(event[inner]["type"])
    for inner in ("request", "response"):
        if isinstance(message.get(inner), dict) and "subtype" in message[inner]:
            parts.append(message[inner]["subtype"])
    content = message.get("message", {}).get("content") if isinstance(message.get("message"), dict) else None
    if isinstance(content, list):
        parts.append("+".join(block.get("type", "?") for block in content if isinstance(block, dict)))
    return "/".join(parts)


def shape(value, path=""):
    """Paths of all fields with their JSON types."""
    if isinstance(value, dict):
        yield path, "object"
        if path.rsplit(".", 1)[-1].removesuffix("[]") in OPEN:
            return
        for key, inner in value.items():
            yield from shape(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        yield path, "array"
        for inner in value:
            yield from shape(inner, path + "[]")
    else:
        names = {str: "string", bool: "bool", int: "number", float: "number", type(None): "null"}
        yield path, names[type(value)]


def read(directory, wanted=None):
    """Flow → its messages; kind → path → types."""
    flows, kinds = {}, collections.defaultdict(lambda: collections.defaultdict(set))
    for file in sorted(directory.glob("*.jsonl")):
        if file.name.endswith(".stdin.jsonl") or (wanted and file.stem not in wanted):
            continue
        messages = [json.loads(line) for line in file.read_text().splitlines() if line.strip()]
        flows[file.stem] = messages
        for message in messages:
            for path, type_ in shape(message):
                kinds[kind(message)][path].add(type_)
    return flows, kinds


# When these come has nothing to do with the turn.
CHATTER = ("system/status", "system/thinking_tokens", "rate_limit", "tool_progress", "control_response")


def course(messages):
    """The order of a flow's messages, repetitions and idle chatter left out: how often deltas come is chance."""
    steps = []
    for message in messages:
        step = kind(message)
        if not step.startswith(CHATTER) and steps[-1:] != [step]:
            steps.append(step)
    return steps


def main():
    record, claude, out = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    versions = sorted((tuple(map(int, d.name.split("."))), d.name) for d in STREAMS.iterdir() if d.is_dir())
    base = sys.argv[4] if len(sys.argv) > 4 else versions[-1][1]
    version = subprocess.run([claude, "--version"], check=True, capture_output=True, text=True).stdout.split()[0]
    print(f"drift: {version} against the recorded {base}", flush=True)
    subprocess.run([record, claude, str(out)], check=True)
    new_flows, new = read(out)
    old_flows, old = read(STREAMS / base, set(new_flows))
    missing = sorted({file.stem for file in (STREAMS / base).glob("*.jsonl")} - set(new_flows))
    if not new_flows:
        sys.exit("drift: nothing was recorded")
    if missing:
        print(f"drift: recorded by other means, and not compared: {', '.join(missing)}")
    changes = 0

    def say(text):
        nonlocal changes
        changes += 1
        print(f"  {text}")

    print("\nKinds of messages")
    for name in sorted(set(new) - set(old)):
        say(f"new      {name}: {', '.join(sorted(path for path in new[name] if path))}")
    for name in sorted(set(old) - set(new)):
        say(f"gone     {name}")
    print("\nFields")
    for name in sorted(set(old) & set(new)):
        for path in sorted(set(new[name]) - set(old[name])):
            say(f"new      {name}: {path} ({'|'.join(sorted(new[name][path]))})")
        for path in sorted(set(old[name]) - set(new[name])):
            say(f"gone     {name}: {path}")
        for path in sorted(set(old[name]) & set(new[name])):
            if added := new[name][path] - old[name][path] - {"null"}:
                say(f"type     {name}: {path} is now also {'|'.join(sorted(added))}")
    print("\nOrder")
    for flow in sorted(old_flows):
        before, after = course(old_flows[flow]), course(new_flows[flow])
        if before != after:
            at = next((i for i, (a, b) in enumerate(zip(before, after)) if a != b), min(len(before), len(after)))
            was, is_ = " → ".join(before[at:at + 3]) or "(end)", " → ".join(after[at:at + 3]) or "(end)"
            say(f"changed  {flow}, after {at} steps: was {was}, is {is_}")
    print(f"\n{changes} differences. docs/upgrading-claude-code.md says what to do about them.")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main()
