#!/usr/bin/env python3
"""Runs Debian's nginx with deploy/nginx.conf, as it is, in front of real gateways in demo mode.

    tests/nginx/run.py CLAUDE_WS CLAUDE [NAME…]

Site-specific files (listen, certificates, upstream) are the test's own; everything else is deploy/'s. Fails if nginx is not there.
"""

import asyncio
import http.client
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile
import time

import websockets

from place import HOST, STEP, TLS, Chat, Place

# Longer than nginx' own default patience.
SILENCE = 65


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
        await place.until(lambda gateway=gateway: "[127.0.0.9]" in gateway.log.read_text())
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
        await place.until(lambda: len(place.tcp.workers() - before) >= 2)
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


async def beat(chat):
    while True:
        await chat.send("heartbeat")
        await asyncio.sleep(5)


async def test_slow_client(place):
    """It takes next to nothing for a while, holds nobody up, and gets everything."""
    async with place.tcp.connect(max_queue=1) as slow, place.tcp.connect() as quick:
        lagging, keeping_up = Chat(slow, "slow"), Chat(quick, "slow")
        await lagging.start()
        await keeping_up.start()
        # It does not get to the gateway's pings, but shows that it lives.
        alive = asyncio.create_task(beat(lagging))
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
        alive.cancel()


async def test_sticky(place):
    """Several gateways: who names a session lands where it lives."""
    # The hash is of addresses that differ from run to run: so many that both get some.
    for number in range(32):
        async with place.pair.connect(f"/ws?session=spread-{number}") as socket:
            await Chat(socket, f"spread-{number}").start()
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
    assert all("session spread-" in log for log in logs), "both gateways have some"


async def test_rate_limit(place):
    def knock():
        """Asks for the socket without the handshake, over one connection: faster than any limit, on however slow a machine."""
        door = http.client.HTTPSConnection("127.0.0.1", place.tcp.port, timeout=STEP, source_address=("127.0.0.77", 0), context=TLS)
        answers = []
        for _ in range(500):
            door.request("GET", "/ws", headers={"Host": HOST})
            answer = door.getresponse()
            answer.read()
            answers.append(answer.status)
            if answer.status == 429:
                break
        door.close()
        return answers

    answers = await asyncio.get_running_loop().run_in_executor(None, knock)
    assert answers[-1] == 429 and len(answers) > 10 and set(answers[:-1]) == {426}, answers
    async with place.tcp.connect() as socket:
        await Chat(socket, "others-are-served").start()


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

    # One by one, but for silence, which is nobody's business; it must not be broken by the restart of its gateway.
    silence = asyncio.create_task(one("silence")) if "silence" in chosen else None
    for name in chosen:
        if name not in ("silence", "gateway_restart"):
            await one(name)
    if silence:
        await silence
    if "gateway_restart" in chosen:
        await one("gateway_restart")
    return failed


def main():
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if not program:
        sys.exit("nginx: not installed: apt-get install nginx")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="claude-ws-nginx-"))
    # nginx' workers are another user.
    os.chmod(directory, 0o755)
    place = Place(sys.argv[1], sys.argv[2], program)
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
    main()
