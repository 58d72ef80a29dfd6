#!/usr/bin/env python3
"""Makes a flame graph (SVG on stdout) of what `perf script` prints (stdin): width is CPU time, a frame stands on its caller.

Frames of less than half a percent are left out. The title is the argument.
"""
import html
import re
import sys

WIDTH, HEIGHT, LEAST = 1200, 16, 0.005


class Node:
    def __init__(self):
        self.samples, self.children = 0, {}


def short(symbol):
    """A Rust path without hashes, parameters and most of its rooms."""
    symbol = re.sub(r"::h[0-9a-f]{16}$", "", re.sub(r"\+0x[0-9a-f]+$", "", symbol))
    while re.search(r"<[^<>]*>", symbol):
        symbol = re.sub(r"<([^<>]*)>", lambda found: found[1].split(" as ")[0].split("::")[-1] if " as " in found[1] else "", symbol)
    return "::".join(symbol.split("::")[-3:]) or "?"


def read(lines):
    root, stack = Node(), []
    for line in lines:
        if line.strip() and line[0] in " \t":
            found = re.match(r"\s+[0-9a-f]+ (.*) \((.*)\)$", line.rstrip())
            if found and found[1] != "[unknown]":
                stack.append(short(found[1]))
        elif not line.strip() and stack:
            node = root
            node.samples += 1
            # What tokio and the standard library put between a worker's loop and a task says nothing.
            names = [name for name in reversed(stack) if not re.search(r"with_mut|catch_unwind|call_once|try_with|::with$|do_call|poll_inner|PollFn", name)]
            for name in names:
                node = node.children.setdefault(name, Node())
                node.samples += 1
            stack = []
    return root


def draw(node, name, x, depth, total, out):
    width = node.samples / total * WIDTH
    if node.samples < total * LEAST:
        return depth
    red, green = 205 + hash_of(name) % 50, 90 + hash_of(name[::-1]) % 130
    text = html.escape(name[: max(0, int(width / 6.5))])
    out.append(
        f'<g><title>{html.escape(name)}: {node.samples / total:.1%}</title>'
        f'<rect x="{x:.1f}" y="Y{depth}" width="{width:.1f}" height="{HEIGHT - 1}" fill="rgb({red},{green},60)"/>'
        f'<text x="{x + 2:.1f}" y="T{depth}">{text}</text></g>'
    )
    deepest = depth
    for child, below in sorted(node.children.items()):
        deepest = max(deepest, draw(below, child, x, depth + 1, total, out))
        x += below.samples / total * WIDTH
    return deepest


def hash_of(text):
    return sum(ord(letter) * (place + 1) for place, letter in enumerate(text))


def main():
    root, out = read(sys.stdin), []
    if not root.samples:
        sys.exit("flamegraph: no samples")
    rows = draw(root, "all", 0, 0, root.samples, out) + 1
    height = rows * HEIGHT + 24
    print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="monospace" font-size="11">')
    print(f'<rect width="100%" height="100%" fill="#fff"/><text x="4" y="14">{html.escape(" ".join(sys.argv[1:]))} ({root.samples} samples)</text>')
    for line in out:
        line = re.sub(r'y="Y(\d+)"', lambda row: f'y="{height - (int(row[1]) + 1) * HEIGHT}"', line)
        print(re.sub(r'y="T(\d+)"', lambda row: f'y="{height - int(row[1]) * HEIGHT - 4}"', line))
    print("</svg>")


if __name__ == "__main__":
    sys.setrecursionlimit(10000)
    main()
