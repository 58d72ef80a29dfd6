#!/usr/bin/env python3
"""Tries client libraries of other languages against the gateway: how large a message each takes as it comes and with its limit raised,
what it does beyond, and whether it answers pings by itself. The table in docs/clients.md is made of what this prints.

    tests/clients/run.py CLAUDE_WS FAKE_CLAUDE [PROGRAM…]

Outside CI: it needs many packages (scripts/try-client-libraries.sh installs them). Each program in programs/ attaches to the session of START
at URL with TOKEN, and prints a JSON line for each message (`got`: its bytes) and for the end (`closed`, `error`). Fails if a program that
should have taken all messages with its limit raised has not.
"""

import asyncio
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import websockets

HERE = pathlib.Path(__file__).resolve().parent
# One step between any two limits that libraries are known to have.
SIZES = [20_000, 50_000, 100_000, 200_000, 400_000, 900_000, 1_500_000, 3_500_000, 7_500_000]
HEARTBEATS = 3
PATIENCE = 60
# Gives each frame of a message as a message of its own, so that nothing over 64 KiB can be read with it.
CANNOT_JOIN = {"xnet.go"}


def command(program, scratch):
    """How a program is run; compiled ones are built once."""
    path, kind = HERE / "programs" / program, program.split(".", 1)[1]
    if kind == "go":
        binary = scratch / path.stem
        environment = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": str(scratch / "go")}
        subprocess.run(["go", "build", "-o", binary, path], check=True, env=environment)
        return [binary]
    if kind == "java":
        subprocess.run(["javac", "-d", scratch, path], check=True)
        return ["java", "-cp", scratch, path.stem]
    start = {"py": [sys.executable], "sys.py": ["/usr/bin/python3"], "gi.py": ["/usr/bin/python3"], "cjs": ["node"], "pl": ["perl"],
             "rb": ["ruby"], "tcl": ["tclsh"]}
    return [*start[kind], path]


class Gateway:
    def __init__(self, binary, fake, scratch):
        (scratch / "tokens").write_text("table:0123456789abcdef0123456789abcdef\n")
        (scratch / "work").mkdir()
        self.token = "0123456789abcdef0123456789abcdef"
        self.log = open(scratch / "log", "w+")
        self.child = subprocess.Popen(
            [binary, "--bind", "127.0.0.1:0", "--claude-bin", fake, "--ephemeral", "--heartbeat", "2s",
             "--workspace-root", scratch / "work", "--auth-token-file", scratch / "tokens"],
            stderr=self.log, stdout=self.log, env={**os.environ, "HOME": str(scratch)})

    async def port(self):
        for _ in range(400):
            self.log.seek(0)
            for line in self.log.read().splitlines():
                if "http://127.0.0.1:" in line:
                    return int(line.split("http://127.0.0.1:")[1].split("/")[0].split()[0].strip(".,"))
            await asyncio.sleep(0.05)
        raise SystemExit("the gateway did not start")

    def end(self):
        self.child.terminate()
        self.child.wait(20)


class Reader:
    """What a program prints."""

    def __init__(self, process):
        self.process, self.lines, self.largest, self.end = process, asyncio.Queue(), 0, None
        self.task = asyncio.create_task(self.read())

    async def read(self):
        async for line in self.process.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if "got" in said:
                self.largest = max(self.largest, said["got"])
            else:
                self.end = {**(self.end or {}), **said}
            self.lines.put_nowait(said)
        self.lines.put_nowait(None)

    async def until(self, size):
        """Whether a message of at least `size` bytes came before the program said that it is over."""
        while self.largest < size:
            try:
                said = await asyncio.wait_for(self.lines.get(), PATIENCE)
            except TimeoutError:
                return False
            if said is None or "closed" in said:
                return False
        return True


async def attempt(port, token, run, session, raised):
    start = {"type": "session_start", "id": "start", "session_id": session}
    environment = {**os.environ, "URL": f"ws://127.0.0.1:{port}/ws", "HOST": f"127.0.0.1:{port}", "TOKEN": token,
                   "START": json.dumps(start), "RAISED": "1" if raised else ""}
    process = await asyncio.create_subprocess_exec(*run, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env=environment)
    reader = Reader(process)
    async with websockets.connect(environment["URL"], additional_headers={"Authorization": f"Bearer {token}"}, max_size=None) as socket:
        result = {"alive": False, "took": 0, "refused": None, "end": None}
        if await reader.until(1):
            # Silent but for heartbeats, which the program answers without knowing of them.
            for _ in range(HEARTBEATS):
                if not await asyncio.wait_for(reader.lines.get(), PATIENCE):
                    break
            result["alive"] = reader.end is None and process.returncode is None
            await socket.send(json.dumps({**start, "id": "watch"}))
            for size in SIZES:
                message = {"type": "user_message", "id": f"m{size}", "session_id": session, "content": "x" * size}
                await socket.send(json.dumps(message))
                while json.loads(await socket.recv())["type"] != "result":
                    pass
                if not await reader.until(size):
                    result["refused"] = size
                    break
                result["took"] = size
        result["end"] = reader.end
    if process.returncode is None:
        process.kill()
    await process.wait()
    reader.task.cancel()
    return result


async def main():
    binary, fake, *names = sys.argv[1:]
    names = names or sorted(path.name for path in (HERE / "programs").iterdir())
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        gateway = Gateway(binary, fake, scratch)
        try:
            port = await gateway.port()
            for name in names:
                run = command(name, scratch)
                plain = await attempt(port, gateway.token, run, f"{name}-plain", False)
                raised = await attempt(port, gateway.token, run, f"{name}-raised", True)
                print(f"{name:22} alive {plain['alive']!s:5} takes {plain['took']:>9,} refuses {plain['refused'] or 0:>9,} "
                      f"raised {raised['took']:>9,}  {plain['end'] or ''} {raised['end'] or ''}", flush=True)
                failed |= name not in CANNOT_JOIN and raised["took"] != SIZES[-1]
        finally:
            gateway.end()
    sys.exit(failed)


if __name__ == "__main__":
    asyncio.run(main())
