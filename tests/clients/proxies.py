#!/usr/bin/env python3
"""Tries Debian's proxies in front of the gateway with the few lines that docs/clients.md gives for each: a conversation at / and under a
prefix, a page of the proxy's own host, silence for longer than the proxy's time limit would allow without heartbeats, a large message, and
what its health check sees.

    tests/clients/proxies.py CLAUDE_WS FAKE_CLAUDE [PROXY…]

Outside CI, as it needs the packages (scripts/try-client-libraries.sh). nginx has a test of its own (tests/nginx).
"""

import asyncio
import json
import os
import pathlib
import shutil
import socket as sockets
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

import websockets

from run import Gateway

HOST = "chat.example.org"
BIG = 6_000_000

HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 6s
    timeout server 6s
    timeout tunnel 6s
backend gateway
    option httpchk GET /readyz
    http-request replace-path /claude/(.*) /\\1
    server one 127.0.0.1:{gateway} check inter 200ms
frontend web
    bind 127.0.0.1:{port}
    default_backend gateway
"""

CADDY = """{{
    admin off
    auto_https off
}}
http://:{port} {{
    handle_path /claude/* {{
        reverse_proxy 127.0.0.1:{gateway}
    }}
    reverse_proxy 127.0.0.1:{gateway} {{
        health_uri /readyz
        health_interval 200ms
    }}
}}
"""

APACHE = """
ServerRoot {scratch}
PidFile {scratch}/apache.pid
ErrorLog {scratch}/apache.log
Listen 127.0.0.1:{port}
ServerName {host}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
{wstunnel}
ProxyTimeout 6
ProxyPreserveHost {preserve}
ProxyPass /claude/ http://127.0.0.1:{gateway}/ upgrade=websocket
ProxyPass / http://127.0.0.1:{gateway}/ upgrade=websocket
"""

LIGHTTPD = """
server.document-root = "{scratch}"
server.port = {port}
server.bind = "127.0.0.1"
server.errorlog = "{scratch}/lighttpd.log"
server.modules += ( "mod_proxy" )
proxy.server = ( "" => (( "host" => "127.0.0.1", "port" => {gateway} )) )
proxy.header = ( "upgrade" => "enable" )
$HTTP["url"] =~ "^/claude/" {{
    proxy.header = ( "upgrade" => "enable", "map-urlpath" => ( "/claude/" => "/" ) )
    proxy.server = ( "" => (( "host" => "127.0.0.1", "port" => {gateway} )) )
}}
"""

VARNISH = """vcl 4.1;
backend gateway {{
    .host = "127.0.0.1";
    .port = "{gateway}";
    .probe = {{ .url = "/readyz"; .interval = 1s; }}
}}
sub vcl_recv {{
    set req.url = regsub(req.url, "^/claude/", "/");
    if (req.http.upgrade ~ "(?i)websocket") {{ return (pipe); }}
    return (pass);
}}
sub vcl_pipe {{
    if (req.http.upgrade) {{
        set bereq.http.upgrade = req.http.upgrade;
        set bereq.http.connection = req.http.connection;
    }}
}}
"""


def free_port():
    with sockets.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def start(name, gateway, scratch):
    port = free_port()
    values = {"port": port, "gateway": gateway, "scratch": scratch, "host": HOST}
    file = scratch / f"{name}.conf"
    if name == "haproxy":
        file.write_text(HAPROXY.format(**values))
        run = ["haproxy", "-db", "-f", file]
    elif name == "caddy":
        file.write_text(CADDY.format(**values))
        run = ["caddy", "run", "--config", file, "--adapter", "caddyfile"]
    elif name.startswith("apache"):
        preserve = "Off" if name == "apache-rewriting" else "On"
        file.write_text(APACHE.format(**values, preserve=preserve, wstunnel=""))
        run = ["apache2", "-D", "FOREGROUND", "-f", file]
    elif name == "lighttpd":
        file.write_text(LIGHTTPD.format(**values))
        run = ["lighttpd", "-D", "-f", file]
    elif name == "varnish":
        file.write_text(VARNISH.format(**values))
        run = ["varnishd", "-j", "none", "-F", "-a", f"127.0.0.1:{port}", "-f", file, "-n", scratch / "varnish", "-s", "malloc,16m", "-p", "pipe_timeout=6"]
    log = open(scratch / f"{name}.out", "w")
    return port, subprocess.Popen(run, stdout=log, stderr=log, env={**os.environ, "HOME": str(scratch), "XDG_DATA_HOME": str(scratch)})


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


async def up(port):
    for _ in range(800):
        try:
            return get(port, "/readyz")
        except OSError:
            await asyncio.sleep(0.05)
    raise RuntimeError("the proxy did not start")


async def conversation(port, path, token, session, **options):
    options |= {"additional_headers": {"Authorization": f"Bearer {token}"}, "max_size": None, "host": "127.0.0.1", "port": port}
    async with websockets.connect(f"ws://{HOST}{path}", **options) as socket:
        await socket.send(json.dumps({"type": "session_start", "id": "start", "session_id": session}))
        beats = 0
        while beats < 5:
            beats += json.loads(await asyncio.wait_for(socket.recv(), 20))["type"] == "heartbeat"
        await socket.send(json.dumps({"type": "user_message", "id": "m", "session_id": session, "content": "x" * BIG}))
        while (message := json.loads(await asyncio.wait_for(socket.recv(), 60)))["type"] != "result":
            pass
        return message["subtype"]


async def attempt(*arguments, **options):
    try:
        return await conversation(*arguments, **options)
    except websockets.InvalidStatus as error:
        return f"{error.response.status_code} {error.response.body.decode(errors='replace')[:200]}"
    except Exception as error:
        return repr(error)


async def main():
    binary, fake, *names = sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        gateway = Gateway(binary, fake, scratch)
        try:
            inner = await gateway.port()
            for name in names or ["haproxy", "caddy", "apache", "apache-rewriting", "lighttpd", "varnish"]:
                port, proxy = start(name, inner, scratch)
                try:
                    ready = await up(port)
                    print(f"{name}: /readyz {ready}", flush=True)
                    print(f"  /ws         {await attempt(port, '/ws', gateway.token, name)}", flush=True)
                    print(f"  /claude/ws  {await attempt(port, '/claude/ws', gateway.token, name + '-prefix')}", flush=True)
                    page = await attempt(port, "/ws", gateway.token, name + "-page", origin=f"http://{HOST}")
                    print(f"  a page of {HOST}: {page}", flush=True)
                finally:
                    proxy.terminate()
                    try:
                        proxy.wait(5)
                    except subprocess.TimeoutExpired:
                        proxy.kill()
                    if "PROXY_LOGS" in os.environ:
                        print((scratch / f"{name}.out").read_text()[-2000:])
        finally:
            gateway.end()


asyncio.run(main())
