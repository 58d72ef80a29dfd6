#!/usr/bin/env python3
"""Runs Debian's nginx with deploy/nginx.conf, as it is, in front of real gateways in demo mode.

    tests/nginx/run.py CLAUDE_WS CLAUDE [NAME…]

Site-specific files (listen, certificates, upstream) are the test's own; everything else is deploy/'s. Fails if nginx is not there.
"""

import asyncio
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import websockets

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
HOST = "chat.example.org"
STEP = 120
SILENCE = 65
TLS = ssl.create_default_context()
TLS.check_hostname = False
TLS.verify_mode = ssl.CERT_NONE


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Gateway:
    """One claude-ws --demo, on TCP or on a Unix socket."""

    def __init__(self, name, directory, bind, *flags):
        self.name, self.bind, self.flags = name, bind, flags
        self.log = directory / f"{name}.log"
        self.data = directory / f"{name}-data"
        self.workspace = directory / "workspace"
        self.workspace.mkdir(exist_ok=True)
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [BINARY, "--demo", "--claude-bin", CLAUDE, "--bind", self.bind, "--data-dir", self.data, *self.flags,
             "--workspace-root", self.workspace, "--drain", "1s", "--log", "debug"],
            stdout=subprocess.PIPE, stderr=self.log.open("a"), text=True,
        )
        for line in self.process.stdout:
            if line.startswith("  access"):
                # nginx' workers are nobody's; deploy/claude-ws.socket gives theirs a group instead.
                if self.bind.startswith("unix:"):
                    os.chmod(self.bind.removeprefix("unix:"), 0o666)
                return
        raise AssertionError(f"{self.name} did not start: {self.log.read_text()[-2000:]}")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)


class Nginx:
    """Debian's nginx with deploy/nginx.conf."""

    def __init__(self, directory, name, upstream):
        self.directory = directory / name
        self.port = free_port()
        site = self.directory / "claude-ws"
        shutil.copytree(DEPLOY / "nginx", site)
        (site / "upstream.conf").write_text("".join(f"server {server};\n" for server in upstream))
        (site / "site.conf").write_text(
            f"listen 127.0.0.1:{self.port} ssl http2;\nserver_name {HOST};\n"
            f"ssl_certificate {directory}/cert.pem;\nssl_certificate_key {directory}/key.pem;\n"
        )
        shutil.copy(DEPLOY / "nginx.conf", self.directory / "claude-ws.conf")
        # Debian's own main file is made for one nginx a machine, run by systemd; this is the same without its paths.
        (self.directory / "nginx.conf").write_text(
            f"daemon off; worker_processes 2; pid {self.directory}/pid; error_log {self.directory}/error.log info;\n"
            "include claude-ws/main.conf;\nevents { worker_connections 1024; }\n"
            f"http {{ access_log {self.directory}/access.log; include claude-ws.conf; }}\n"
        )
        subprocess.run([NGINX, "-t", "-q", *self.where()], check=True)
        self.process = subprocess.Popen([NGINX, *self.where()])
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, "nginx does not listen"
                time.sleep(0.05)

    def where(self):
        return ["-p", f"{self.directory}/", "-c", f"{self.directory}/nginx.conf"]

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def workers(self):
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return set(children)

    def stop(self):
        self.process.terminate()
        self.process.wait(20)

    def get(self, path, **headers):
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}{path}", headers={"Host": HOST, **headers})
        try:
            with urllib.request.urlopen(request, timeout=20, context=TLS) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read()

    def connect(self, path="/ws", **options):
        headers = {"Host": HOST, **options.pop("headers", {})}
        # The TCP address is the test's, the name the site's.
        return websockets.connect(
            f"wss://{HOST}{path}", host="127.0.0.1", port=self.port, ssl=TLS, max_size=None, open_timeout=20,
            additional_headers={name: value for name, value in headers.items() if name != "Host"}, proxy=None, **options,
        )


class Chat:
    """One session over one connection."""

    def __init__(self, socket, session):
        self.socket, self.session, self.seqs, self.epoch, self.count = socket, session, [], None, 0

    async def send(self, kind, **fields):
        self.count += 1
        fields.setdefault("id", f"{self.session}-{time.monotonic_ns()}-{self.count}")
        await self.socket.send(json.dumps({"type": kind, "session_id": self.session, **fields}))
        return fields["id"]

    async def next(self):
        message = json.loads(await asyncio.wait_for(self.socket.recv(), STEP))
        if "seq" in message:
            assert not self.seqs or message["seq"] > self.seqs[-1], f"out of order: {message['seq']} after {self.seqs[-1]}"
            self.seqs.append(message["seq"])
        return message

    async def wait(self, kind, **fields):
        while True:
            message = await self.next()
            assert message["type"] != "error", message
            if message["type"] == kind and all(message.get(name) == value for name, value in fields.items()):
                return message

    async def start(self, **fields):
        info = await self.wait("session_info", request_id=await self.send("session_start", **fields))
        self.epoch = info["epoch"]
        return info

    async def say(self, text):
        turn = await self.send("user_message", content=text)
        return await self.wait("result", request_id=turn)


async def test_conversation(place):
    for nginx in (place.tcp, place.unix):
        for prefix in ("", "/claude"):
            async with nginx.connect(f"{prefix}/ws", subprotocols=["claude-ws.v1"]) as socket:
                assert socket.subprotocol == "claude-ws.v1"
                chat = Chat(socket, f"talk-{nginx.port}-{len(prefix)}")
                await chat.start()
                result = await chat.say("echo behind nginx")
                assert result["subtype"] == "success" and result["result"] == "behind nginx", result
            status, page = nginx.get(f"{prefix}/")
            assert status == 200 and b"<html" in page, status
            asset = re.search(rb'(?:src|href)="([^":]+\.(?:js|css))"', page)[1].decode().lstrip("./")
            assert nginx.get(f"{prefix}/{asset}")[0] == 200, asset
            assert nginx.get(f"{prefix}/readyz")[0] == 200
            assert nginx.get(f"{prefix}/metrics")[0] == 200, "allowed from this machine"


async def test_who_may_come_in(place):
    """The gateway sees the client's own Host, Origin and address."""
    async with place.tcp.connect(origin=f"https://{HOST}") as socket:
        await Chat(socket, "origin").start()
    try:
        async with place.tcp.connect(origin="https://evil.example"):
            raise AssertionError("a foreign origin came in")
    except websockets.InvalidStatus as refusal:
        assert refusal.response.status_code == 403
    for nginx, gateway in ((place.tcp, place.gateway), (place.unix, place.on_unix)):
        lie = {"X-Forwarded-For": "6.6.6.6"}
        async with nginx.connect(local_addr=("127.0.0.9", 0), headers=lie) as socket:
            await Chat(socket, "address").start()
        await place.until(lambda gateway=gateway: "[127.0.0.9]" in gateway.log.read_text(), "the address in the log")
        assert "6.6.6.6" not in gateway.log.read_text()


async def test_silence(place):
    """The user says nothing for longer than nginx' own default patience of 60 s."""
    async with place.unix.connect() as socket:
        chat = Chat(socket, "silence")
        await chat.start()
        try:
            async with asyncio.timeout(SILENCE):
                while True:
                    await chat.next()
        except TimeoutError:
            pass
        assert (await chat.say("hello"))["subtype"] == "success"


async def test_nginx_reload(place):
    """A turn is running while nginx gets new workers."""
    async with place.tcp.connect() as socket:
        chat = Chat(socket, "reload")
        await chat.start()
        turn = await chat.send("user_message", content="wait")
        await chat.wait("status_update", status="thinking")
        before = place.tcp.workers()
        place.tcp.reload()
        await place.until(lambda: len(place.tcp.workers() - before) >= 2, "new workers")
        async with place.tcp.connect() as other:
            await Chat(other, "after-reload").start()
        assert (await chat.wait("result", request_id=turn))["subtype"] == "success"
        assert (await chat.say("echo still here"))["result"] == "still here"


async def test_gateway_restart(place):
    """The client is told, comes back when the gateway does, and goes on from where it was."""
    async with place.unix.connect() as socket:
        chat = Chat(socket, "restart")
        await chat.start()
        await chat.say("hello")
        seqs, epoch = list(chat.seqs), chat.epoch
        await chat.wait("status_update", status="idle")
        seqs = list(chat.seqs)
        stopping = asyncio.get_running_loop().run_in_executor(None, place.on_unix.stop)
        try:
            while True:
                await chat.next()
                seqs = list(chat.seqs)
        except websockets.ConnectionClosed as closed:
            assert closed.rcvd and closed.rcvd.code == 1001, closed
        await stopping
    assert place.unix.get("/healthz")[0] == 502
    await asyncio.get_running_loop().run_in_executor(None, place.on_unix.start)
    async with place.unix.connect() as socket:
        again = Chat(socket, "restart")
        info = await again.start(last_seq=seqs[-1], epoch=epoch)
        assert (info["replay"], info["created"]) == ("ok", False), info
        assert (await again.say("echo back"))["result"] == "back"
        assert again.seqs[0] > seqs[-1]


async def test_reconnect(place):
    """The connection is cut in mid-turn without a word; the rest is replayed."""
    socket = await place.tcp.connect()
    chat = Chat(socket, "reconnect")
    await chat.start()
    turn = await chat.send("user_message", content="count 400")
    for _ in range(20):
        await chat.next()
    socket.transport.abort()
    seen = list(chat.seqs)
    async with place.tcp.connect() as socket:
        again = Chat(socket, "reconnect")
        info = await again.start(last_seq=seen[-1], epoch=chat.epoch)
        assert info["replay"] == "ok"
        await again.wait("result", request_id=turn)
        seqs = seen + again.seqs
    async with place.tcp.connect() as socket:
        whole = Chat(socket, "reconnect")
        await whole.start(last_seq=0)
        await whole.wait("result", request_id=turn)
        assert whole.seqs == seqs, "none lost, none twice"


async def test_big_message(place):
    async with place.tcp.connect() as socket:
        chat = Chat(socket, "big")
        await chat.start()
        running = await chat.send("user_message", content="hang")
        text = "ü" * (1 << 20)  # 6 MiB as JSON
        queued = await chat.send("user_message", content=text)
        event = await chat.wait("user_message", request_id=queued)
        assert event["content"] == text
        await chat.send("cancel", target_id=queued)
        await chat.wait("result", request_id=queued, subtype="cancelled")
        await chat.send("interrupt")
        await chat.wait("result", request_id=running)
        # 1009, unless the client is still sending when the gateway stops to listen: then it is cut.
        try:
            await socket.send("x" * (9 << 20))
            while True:
                await chat.next()
        except websockets.ConnectionClosed as closed:
            assert closed.rcvd is None or closed.rcvd.code == 1009, closed


async def test_slow_client(place):
    """It takes next to nothing for a while, holds nobody up, and gets everything."""
    async with place.tcp.connect(max_queue=1) as slow, place.tcp.connect() as quick:
        lagging, keeping_up = Chat(slow, "slow"), Chat(quick, "slow")
        await lagging.start()
        await keeping_up.start()
        turn = await keeping_up.send("user_message", content="count 20000")
        result = await keeping_up.wait("result", request_id=turn)
        assert result["subtype"] == "success"
        events = [json.loads(await asyncio.wait_for(slow.recv(), STEP))]
        while not (events[-1]["type"] == "result" and events[-1].get("request_id") == turn):
            events.append(json.loads(await asyncio.wait_for(slow.recv(), STEP)))
        text = "".join(event["delta"]["text"] for event in events
                       if event["type"] == "assistant_message_delta" and event["delta"]["delta_type"] == "text")
        assert text == result["result"], "every line, once, in order"
        seqs = [event["seq"] for event in events if "seq" in event]
        assert seqs == sorted(set(seqs))


async def test_sticky(place):
    """Several gateways: who names a session lands where it lives."""
    for name in ("sticky-1", "sticky-2", "sticky-3", "sticky-4"):
        async with place.pair.connect(f"/ws?session={name}") as socket:
            chat = Chat(socket, name)
            await chat.start()
            await chat.say("hello")
    for name in ("sticky-1", "sticky-2", "sticky-3", "sticky-4"):
        for options in ({"path": f"/ws?session={name}"}, {"path": "/claude/ws", "headers": {"Cookie": f"claude_ws_session={name}"}}):
            async with place.pair.connect(**options) as socket:
                assert not (await Chat(socket, name).start())["created"], name
    logs = [gateway.log.read_text() for gateway in (place.gateway, place.on_unix)]
    assert all("session sticky-" in log for log in logs), "both gateways have some"


async def test_rate_limit(place):
    async def knock():
        try:
            async with place.tcp.connect(local_addr=("127.0.0.77", 0)):
                return 101
        except websockets.InvalidStatus as refusal:
            return refusal.response.status_code

    answers = await asyncio.gather(*(knock() for _ in range(80)))
    assert 429 in answers and 101 in answers, answers
    async with place.tcp.connect() as socket:
        await Chat(socket, "others-are-served").start()


class Place:
    """What all tests use."""

    def __init__(self):
        self.parts = []

    def prepare(self, directory):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={HOST}",
             "-keyout", directory / "key.pem", "-out", directory / "cert.pem"],
            check=True, stderr=subprocess.DEVNULL,
        )
        port = free_port()
        path = directory / "gateway.sock"
        # Without tokens on loopback the gateway insists on knowing the Host: --allow-origin names it.
        self.gateway = Gateway("tcp", directory, f"127.0.0.1:{port}", "--trusted-proxy", "127.0.0.1", "--allow-origin", f"https://{HOST}")
        self.on_unix = Gateway("unix", directory, f"unix:{path}", "--trusted-proxy", "unix")
        for gateway in (self.gateway, self.on_unix):
            self.parts.append(gateway)
            gateway.start()
        self.tcp = self.nginx(directory, "nginx-tcp", [f"127.0.0.1:{port}"])
        self.unix = self.nginx(directory, "nginx-unix", [f"unix:{path}"])
        self.pair = self.nginx(directory, "nginx-pair", [f"127.0.0.1:{port}", f"unix:{path}"])

    def nginx(self, directory, name, upstream):
        self.parts.append(Nginx(directory, name, upstream))
        return self.parts[-1]

    async def until(self, true, what):
        async with asyncio.timeout(STEP):
            while not true():
                await asyncio.sleep(0.05)
        assert true(), what

    def stop(self):
        for part in reversed(self.parts):
            part.stop()


async def run(place, wanted):
    tests = {name[5:]: test for name, test in globals().items() if name.startswith("test_")}
    chosen = {name: test for name, test in tests.items() if not wanted or name in wanted}
    assert chosen, f"none of {sorted(tests)}"
    failed = []

    async def one(name):
        begun = time.monotonic()
        try:
            await chosen[name](place)
            print(f"nginx: {name}: ok, {time.monotonic() - begun:.1f} s", flush=True)
        except Exception as problem:
            failed.append(name)
            print(f"nginx: {name}: FAILED: {type(problem).__name__}: {problem}", flush=True)

    # Silence must not be broken by the restart of its gateway; the others go one by one.
    for name in [name for name in chosen if name not in ("silence", "gateway_restart")]:
        await one(name)
    for name in ("silence", "gateway_restart"):
        if name in chosen:
            await one(name)
    return failed


def main():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="claude-ws-nginx-"))
    # nginx' workers are another user.
    os.chmod(directory, 0o755)
    place = Place()
    try:
        place.prepare(directory)
        failed = asyncio.run(run(place, set(sys.argv[3:])))
    finally:
        place.stop()
    if failed:
        for log in sorted(directory.glob("**/*.log")):
            print(f"--- {log.name}\n{log.read_text()[-3000:]}")
        sys.exit(f"nginx: failed: {', '.join(failed)}")
    shutil.rmtree(directory)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    BINARY, CLAUDE = sys.argv[1], sys.argv[2]
    NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if not NGINX:
        sys.exit("nginx: not installed: apt-get install nginx")
    main()
