import json, os
import trio
from trio_websocket import ConnectionClosed, open_websocket_url


async def main():
    raised = {"max_message_size": 1 << 30} if os.environ["RAISED"] else {}
    headers = [("Authorization", "Bearer " + os.environ["TOKEN"])]
    async with open_websocket_url(os.environ["URL"], extra_headers=headers, **raised) as socket:
        await socket.send_message(os.environ["START"])
        while True:
            try:
                frame = await socket.get_message()
            except ConnectionClosed as end:
                print(json.dumps({"closed": end.reason.code if end.reason else None, "why": str(end.reason)}), flush=True)
                break
            print(json.dumps({"got": len(frame.encode())}), flush=True)


trio.run(main)
