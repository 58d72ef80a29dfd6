import asyncio, json, os
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, ws_connect


class Client(WSListener):
    """Frames, not messages: who uses picows joins the pieces of a message."""

    def __init__(self):
        self.size = 0

    def on_ws_connected(self, transport):
        transport.send(WSMsgType.TEXT, os.environ["START"].encode())

    def on_ws_frame(self, transport, frame: WSFrame):
        if frame.msg_type == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            print(json.dumps({"closed": frame.get_close_code(), "why": ""}), flush=True)
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        else:
            self.size += len(frame.get_payload_as_memoryview())
            if frame.fin:
                print(json.dumps({"got": self.size}), flush=True)
                self.size = 0


async def main():
    raised = {"max_frame_size": 1 << 30} if os.environ["RAISED"] else {}
    headers = {"Authorization": "Bearer " + os.environ["TOKEN"]}
    transport, _ = await ws_connect(Client, os.environ["URL"], extra_headers=headers, **raised)
    await transport.wait_disconnected()


asyncio.run(main())
