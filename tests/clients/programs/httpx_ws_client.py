import json, os
import httpx
from httpx_ws import WebSocketDisconnect, connect_ws

raised = {"max_message_size_bytes": 1 << 30} if os.environ["RAISED"] else {}
headers = {"Authorization": "Bearer " + os.environ["TOKEN"]}
with httpx.Client() as web, connect_ws(os.environ["URL"], web, headers=headers, **raised) as socket:
    socket.send_text(os.environ["START"])
    while True:
        try:
            frame = socket.receive_text()
        except WebSocketDisconnect as end:
            print(json.dumps({"closed": end.code, "why": end.reason}), flush=True)
            break
        except Exception as end:
            print(json.dumps({"closed": None, "why": repr(end)}), flush=True)
            break
        print(json.dumps({"got": len(frame.encode())}), flush=True)
