import asyncio, json, os
import aiohttp


async def main():
    raised = {"max_msg_size": 0} if os.environ["RAISED"] else {}
    headers = {"Authorization": "Bearer " + os.environ["TOKEN"]}
    async with aiohttp.ClientSession() as web, web.ws_connect(os.environ["URL"], headers=headers, **raised) as socket:
        await socket.send_str(os.environ["START"])
        async for frame in socket:
            if frame.type == aiohttp.WSMsgType.TEXT:
                print(json.dumps({"got": len(frame.data.encode())}), flush=True)
            else:
                break
        print(json.dumps({"closed": socket.close_code, "why": str(socket.exception() or "")}), flush=True)


asyncio.run(main())
