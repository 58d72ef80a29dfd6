#!/usr/bin/env python3
"""Starts `make run` as a newcomer without credentials would, holds a conversation over a WebSocket, stops it with SIGTERM.

Needs nothing but Python: the WebSocket client below is just enough for this. Fails if a step goes wrong, the exit code is not 0,
or a process is left behind.
"""

import base64
import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent
START_TIMEOUT = 45 * 60  # it may have to build first
STEP_TIMEOUT = 60
MARK = "CLAUDE_WS_SMOKE"
CREDENTIALS = ("ANTHROPIC_", "CLAUDE_CODE_", "CLAUDE_WS_")


class WebSocket:
    """A client's side of RFC 6455, for text messages on a trusted line."""

    def __init__(self, host, port, path):
        self.socket = socket.create_connection((host, port), timeout=STEP_TIMEOUT)
        self.file = self.socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        status = self.file.readline().decode().strip()
        assert " 101 " in status + " ", f"no upgrade: {status}"
        while self.file.readline() not in (b"\r\n", b""):
            pass

    def frame(self, opcode, payload):
        size = len(payload)
        head = bytes([0x80 | opcode, 0x80 | (size if size < 126 else 126 if size < 65536 else 127)])
        if size >= 126:
            head += struct.pack(">H" if size < 65536 else ">Q", size)
        mask = os.urandom(4)
        self.socket.sendall(head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)))

    def send(self, **message):
        self.frame(1, json.dumps(message).encode())

    def receive(self):
        """The next message; None when the server has closed."""
        while True:
            head = self.file.read(2)
            if len(head) < 2:
                return None
            opcode, size = head[0] & 15, head[1] & 127
            if size >= 126:
                size = struct.unpack(">H" if size == 126 else ">Q", self.file.read(2 if size == 126 else 8))[0]
            payload = self.file.read(size)
            if opcode == 8:
                return None
            if opcode == 9:
                self.frame(10, payload)
            if opcode == 1:
                return json.loads(payload)

    def wait_for(self, kind, **fields):
        """The next message of that type and with these fields; others before it are passed over."""
        while message := self.receive():
            assert message["type"] != "error", message
            if message["type"] == kind and all(message.get(name) == value for name, value in fields.items()):
                return message
        raise AssertionError(f"closed before {kind} {fields}")


def say(text):
    print(f"smoke: {text}", flush=True)


def processes_with(mark):
    """Ids of the processes that were started under this run, apart from this one."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if f"{MARK}={mark}".encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                pass  # gone, or not ours
    return found


def gateway_process(mark):
    """The gateway among what `make` has started."""
    for process in processes_with(mark):
        try:
            if os.readlink(f"/proc/{process}/exe").endswith("/claude-ws"):
                return process
        except OSError:
            pass
    raise AssertionError("the gateway's process is not there")


def address_of(make):
    """Reads what the gateway says at its start until the WebSocket's address."""
    deadline = time.monotonic() + START_TIMEOUT
    for line in make.stdout:
        print("  | " + line, end="", flush=True)
        if match := re.search(r"ws://(127\.0\.0\.1):(\d+)(/\S*)", line):
            return match[1], int(match[2]), match[3]
        assert time.monotonic() < deadline, "not started in time"
    raise AssertionError("ended before it served")


def converse(host, port, path):
    client = WebSocket(host, port, path)
    client.send(type="session_start", id="1", session_id="smoke")
    info = client.wait_for("session_info", request_id="1")
    assert info["created"], info
    client.send(type="user_message", id="2", session_id="smoke", content="touch smoke.txt")
    prompt = client.wait_for("permission_request")
    say(f"asked about {prompt['tool_name']} {prompt['tool_input']}")
    client.send(type="permission_response", id="3", session_id="smoke", request_id=prompt["id"], decision="allow")
    assert not client.wait_for("tool_result")["is_error"]
    result = client.wait_for("result", request_id="2")
    assert result["subtype"] == "success", result
    client.wait_for("status_update", status="idle")
    client.send(type="session_end", id="4", session_id="smoke")
    client.wait_for("session_ended")
    client.frame(8, struct.pack(">H", 1000))


def main():
    mark = uuid.uuid4().hex
    with tempfile.TemporaryDirectory(prefix="claude-ws-smoke-") as folder:
        work = pathlib.Path(folder) / "work"
        config = pathlib.Path(folder) / "config"
        work.mkdir()
        config.mkdir()
        # As on a machine that nobody has logged in on.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(CREDENTIALS)}
        environment |= {MARK: mark, "CLAUDE_CONFIG_DIR": str(config)}
        flags = f"--bind 127.0.0.1:0 --data-dir {folder}/data --workspace-root {work}"
        say("make run")
        make = subprocess.Popen(
            ["make", "--no-print-directory", "run", f"ARGS={flags}"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            host, port, path = address_of(make)
            with urllib.request.urlopen(f"http://{host}:{port}/healthz", timeout=STEP_TIMEOUT) as answer:
                assert json.load(answer) == {"status": "ok"}
            say("healthz says ok")
            converse(host, port, path)
            assert (work / "smoke.txt").exists(), "the tool did not run"
            say("a conversation with a permission prompt, the tool ran")
            os.kill(gateway_process(mark), signal.SIGTERM)
            make.communicate(timeout=STEP_TIMEOUT)
            assert make.returncode == 0, f"exit code {make.returncode}"
            left = processes_with(mark)
            assert not left, f"left behind: {left}"
            say("SIGTERM: exit 0, nothing left")
        finally:
            for process in processes_with(mark):
                os.kill(process, signal.SIGKILL)
    print("1 passed, 0 failed", flush=True)


if __name__ == "__main__":
    try:
        main()
    except (AssertionError, OSError, subprocess.SubprocessError) as problem:
        say(f"FAILED: {problem!r}")
        sys.exit(1)
