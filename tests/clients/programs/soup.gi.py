import json, os
import gi

gi.require_version("Soup", "3.0")
from gi.repository import GLib, Soup

loop = GLib.MainLoop()
web = Soup.Session()
request = Soup.Message.new("GET", os.environ["URL"].replace("ws://", "http://"))
request.get_request_headers().append("Authorization", "Bearer " + os.environ["TOKEN"])


def say(what):
    print(json.dumps(what), flush=True)


def closed(socket):
    say({"closed": socket.get_close_code(), "why": socket.get_close_data()})
    loop.quit()


def connected(web, task):
    socket = web.websocket_connect_finish(task)
    if os.environ["RAISED"]:
        socket.set_max_incoming_payload_size(0)
    socket.connect("message", lambda socket, kind, data: say({"got": data.get_size()}))
    socket.connect("error", lambda socket, error: say({"error": error.message}))
    socket.connect("closed", closed)
    socket.send_text(os.environ["START"])
    web.held = socket


web.websocket_connect_async(request, None, None, GLib.PRIORITY_DEFAULT, None, connected)
loop.run()
