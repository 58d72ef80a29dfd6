import json, os
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet import reactor


class Client(WebSocketClientProtocol):
    def onOpen(self):
        self.sendMessage(os.environ["START"].encode())

    def onMessage(self, payload, is_binary):
        print(json.dumps({"got": len(payload)}), flush=True)

    def onClose(self, clean, code, reason):
        print(json.dumps({"closed": code, "why": str(reason)}), flush=True)
        reactor.callFromThread(reactor.stop)


factory = WebSocketClientFactory(os.environ["URL"], headers={"Authorization": "Bearer " + os.environ["TOKEN"]})
factory.protocol = Client
host, port = os.environ["URL"].split("/")[2].split(":")
reactor.connectTCP(host, int(port), factory)
reactor.run()
