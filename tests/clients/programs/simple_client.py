import json, os
from simple_websocket import Client, ConnectionClosed

raised = {"max_message_size": 1 << 30} if os.environ["RAISED"] else {}
socket = Client(os.environ["URL"], headers={"Authorization": "Bearer " + os.environ["TOKEN"]}, **raised)
socket.send(os.environ["START"])
while True:
    try:
        frame = socket.receive()
    except ConnectionClosed as end:
        print(json.dumps({"closed": end.reason, "why": str(end.message)}), flush=True)
        break
    print(json.dumps({"got": len(frame.encode())}), flush=True)
