"""Real gateways in demo mode, Debian's nginx in front of them, and clients. Knows nothing of what is tested."""

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
import time
import urllib.error
import urllib.request

import websockets

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
HOST = "chat.example.org"
STEP = 120
TLS = ssl.create_default_context()
TLS.check_hostname = False
TLS.verify_mode = ssl.CERT_NONE


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Gateway:
    """One claude-ws --demo, on TCP or on a Unix socket."""

    def __init__(self, command, name, directory, bind, *flags):
        self.command, self.name, self.bind, self.flags = command, name, bind, flags
        self.log = directory / f"{name}.log"
        self.data = directory / f"{name}-data"
        self.workspace = directory / "workspace"
        self.workspace.mkdir(exist_ok=True)
        self.process = self.address = None

    def start(self):
        self.process = subprocess.Popen(
            [*self.command, "--demo", "--bind", self.bind, "--data-dir", self.data, *self.flags,
             "--workspace-root", self.workspace, "--drain", "1s", "--log", "debug"],
            stdout=subprocess.PIPE, stderr=self.log.open("a"), text=True,
        )
        for line in self.process.stdout:
            if found := re.search(r"ws://(127\.0\.0\.1:\d+)/ws", line):
                self.address = found[1]
            if line.startswith("  access"):
                # nginx' workers are nobody's; deploy/claude-ws.socket gives theirs a group instead.
                if self.bind.startswith("unix:"):
                    os.chmod(self.bind.removeprefix("unix:"), 0o666)
                return
        raise AssertionError(f"{self.name} did not start: {self.log.read_text()[-2000:]}")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(STEP)


class Nginx:
    """Debian's nginx with deploy/nginx.conf."""

    def __init__(self, program, directory, name, upstream):
        self.program = program
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
        subprocess.run([self.program, "-t", "-q", *self.where()], check=True)
        self.process = subprocess.Popen([self.program, *self.where()])
        deadline = time.monotonic() + STEP
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline and self.process.poll() is None, "nginx does not listen"
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
        self.process.wait(STEP)

    def get(self, path, **headers):
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}{path}", headers={"Host": HOST, **headers})
        try:
            with urllib.request.urlopen(request, timeout=STEP, context=TLS) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read()

    def connect(self, path="/ws", **options):
        headers = {"Host": HOST, **options.pop("headers", {})}
        # The TCP address is the test's, the name the site's. No pings of the client's own: whether the gateway's suffice is tested.
        return websockets.connect(
            f"wss://{HOST}{path}", host="127.0.0.1", port=self.port, ssl=TLS, max_size=None, open_timeout=STEP, ping_interval=None,
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


class Place:
    """What all tests use."""

    def __init__(self, claude_ws, claude, nginx):
        self.command, self.program, self.parts = [claude_ws, "--claude-bin", claude], nginx, []

    def prepare(self, directory):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={HOST}",
             "-keyout", directory / "key.pem", "-out", directory / "cert.pem"],
            check=True, stderr=subprocess.DEVNULL,
        )
        path = directory / "gateway.sock"
        # Without tokens on loopback the gateway insists on knowing the Host: --allow-origin names it.
        self.gateway = Gateway(
            self.command, "tcp", directory, "127.0.0.1:0", "--trusted-proxy", "127.0.0.1", "--allow-origin", f"https://{HOST}"
        )
        self.on_unix = Gateway(self.command, "unix", directory, f"unix:{path}", "--trusted-proxy", "unix")
        for gateway in (self.gateway, self.on_unix):
            self.parts.append(gateway)
            gateway.start()
        self.tcp = self.nginx(directory, "nginx-tcp", [self.gateway.address])
        self.unix = self.nginx(directory, "nginx-unix", [f"unix:{path}"])
        self.pair = self.nginx(directory, "nginx-pair", [self.gateway.address, f"unix:{path}"])

    def nginx(self, directory, name, upstream):
        self.parts.append(Nginx(self.program, directory, name, upstream))
        return self.parts[-1]

    async def until(self, true):
        async with asyncio.timeout(STEP):
            while not true():
                await asyncio.sleep(0.05)

    def stop(self):
        for part in reversed(self.parts):
            part.stop()
