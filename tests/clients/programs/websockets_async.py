import asyncio, json, os
import websockets


async def main():
    raised = {"max_size": None} if os.environ["RAISED"] else {}
    headers = {"Authorization": "Bearer " + os.environ["TOKEN"]}
    async with websockets.connect(os.environ["URL"], additional_headers=headers, **raised) as socket:
        await socket.send(os.environ["START"])
        try:
            async for frame in socket:
                print(json.dumps({"got": len(frame.encode())}), flush=True)
        except websockets.ConnectionClosed:
            pass
        print(json.dumps({"closed": socket.close_code, "why": socket.close_reason}), flush=True)


asyncio.run(main())
