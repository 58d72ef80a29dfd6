import asyncio, json, os
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect


async def main():
    raised = {"max_message_size": 1 << 30} if os.environ["RAISED"] else {}
    request = HTTPRequest(os.environ["URL"], headers={"Authorization": "Bearer " + os.environ["TOKEN"]})
    socket = await websocket_connect(request, **raised)
    await socket.write_message(os.environ["START"])
    while (frame := await socket.read_message()) is not None:
        print(json.dumps({"got": len(frame.encode())}), flush=True)
    print(json.dumps({"closed": socket.close_code, "why": socket.close_reason}), flush=True)


asyncio.run(main())
