#!/usr/bin/env python3
"""A small terminal client: one session, streamed answers, permission prompts, reconnect without loss.

    pip install websockets
    examples/client.py [--url ws://127.0.0.1:3000/ws] [--token T] [--session ID] [--allow] [TEXT …]

With TEXTs it says them one after the other, answers prompts with --allow or a denial, and ends; without, it reads lines from you.
"""

import argparse
import asyncio
import json
import sys
import uuid

import websockets


class Session:
    """One session, over as many connections as it takes."""

    def __init__(self, options):
        self.options = options
        self.id = options.session or str(uuid.uuid4())
        self.last_seq, self.epoch = 0, None
        self.unanswered = {}  # id of a user message → the message, until its result is here
        self.prompts = asyncio.Queue()
        self.results = asyncio.Queue()
        self.socket = None
        self.connected = asyncio.Event()

    async def send(self, kind, **fields):
        message = {"type": kind, "id": str(uuid.uuid4()), "session_id": self.id, **fields}
        if kind == "user_message":
            self.unanswered[message["id"]] = message
        await self.connected.wait()
        try:
            await self.socket.send(json.dumps(message))
        except websockets.ConnectionClosed:
            pass  # A user message is sent again after the reconnect; the same id is never run twice.
        return message["id"]

    async def run(self):
        headers = {"Authorization": f"Bearer {self.options.token}"} if self.options.token else {}
        # An iterator that reconnects with growing pauses. No limit: the server sends messages of any size.
        connections = websockets.connect(
            self.options.url, subprotocols=["claude-ws.v1"], additional_headers=headers, max_size=None
        )
        async for self.socket in connections:
            try:
                start = {"type": "session_start", "id": str(uuid.uuid4()), "session_id": self.id, "last_seq": self.last_seq}
                await self.socket.send(json.dumps({**start, "epoch": self.epoch} if self.epoch else start))
                async for frame in self.socket:
                    await self.handle(json.loads(frame))
            except websockets.ConnectionClosed as closed:
                print(f"[connection lost: {closed}]", file=sys.stderr)
            self.connected.clear()

    async def handle(self, message):
        self.last_seq = message.get("seq", self.last_seq)
        match message["type"]:
            case "session_info" if message.get("request_id"):
                self.epoch = message["epoch"]
                for unanswered in list(self.unanswered.values()):
                    await self.socket.send(json.dumps(unanswered))
                self.connected.set()
            case "assistant_message_delta" if message["delta"]["delta_type"] == "text":
                print(message["delta"]["text"], end="", flush=True)
            case "assistant_message_complete":
                print()
            case "assistant_message_retracted":
                # What is printed cannot be taken back; a screen would show what is kept in the message's place.
                print(f"[of what Claude just said this stands: {message['kept'] or 'nothing'}]")
            case "tool_use":
                print(f"[{message['tool_name']} {json.dumps(message['tool_input'], ensure_ascii=False)}]")
            case "tool_result":
                print(f"[{'failed: ' if message['is_error'] else ''}{message['content']}]")
            case "permission_request":
                await self.prompts.put(message)
            case "result":
                self.unanswered.pop(message.get("request_id"), None)
                await self.results.put(message)
            case "error":
                print(f"[{message['code']}: {message['message']}]", file=sys.stderr)

    async def decide(self):
        """Answers prompts as they come."""
        while prompt := await self.prompts.get():
            print(f"[may it use {prompt['tool_name']}? {json.dumps(prompt['tool_input'], ensure_ascii=False)}]")
            allowed = self.options.allow
            if not self.options.text:
                allowed = (await line("allow? [y/N] ")).strip().lower() in ("y", "yes")
            await self.send("permission_response", request_id=prompt["id"], decision="allow" if allowed else "deny")

    async def say(self, text):
        """Says it and waits for its result."""
        turn = await self.send("user_message", content=text)
        while (result := await self.results.get()).get("request_id") != turn:
            pass
        return result


async def line(prompt):
    return await asyncio.get_running_loop().run_in_executor(None, input, prompt)


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="ws://127.0.0.1:3000/ws")
    parser.add_argument("--token")
    parser.add_argument("--session", help="go on with this session")
    parser.add_argument("--allow", action="store_true", help="allow every prompt")
    parser.add_argument("text", nargs="*")
    options = parser.parse_args()
    session = Session(options)
    running = [asyncio.create_task(session.run()), asyncio.create_task(session.decide())]
    print(f"[session {session.id}]")
    failed = False
    try:
        for text in options.text:
            print(f"> {text}")
            failed |= (await session.say(text))["is_error"]
        while not options.text:
            await session.say(await line("> "))
    except EOFError:
        pass
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except KeyboardInterrupt:
        pass
