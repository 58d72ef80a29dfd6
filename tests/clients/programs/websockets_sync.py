import json, os
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

raised = {"max_size": None} if os.environ["RAISED"] else {}
headers = {"Authorization": "Bearer " + os.environ["TOKEN"]}
with connect(os.environ["URL"], additional_headers=headers, **raised) as socket:
    socket.send(os.environ["START"])
    try:
        for frame in socket:
            print(json.dumps({"got": len(frame.encode())}), flush=True)
    except ConnectionClosed:
        pass
    print(json.dumps({"closed": socket.close_code, "why": socket.close_reason}), flush=True)
