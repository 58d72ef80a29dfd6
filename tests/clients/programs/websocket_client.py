import json, os
import websocket

socket = websocket.create_connection(os.environ["URL"], header=["Authorization: Bearer " + os.environ["TOKEN"]])
socket.send(os.environ["START"])
while True:
    try:
        frame = socket.recv()
    except Exception as end:
        print(json.dumps({"closed": None, "why": repr(end)}), flush=True)
        break
    if not frame:
        print(json.dumps({"closed": None, "why": "empty"}), flush=True)
        break
    print(json.dumps({"got": len(frame.encode())}), flush=True)
