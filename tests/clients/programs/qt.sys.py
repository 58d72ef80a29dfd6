import json, os, sys
from PyQt5.QtCore import QCoreApplication, QUrl
from PyQt5.QtNetwork import QNetworkRequest
from PyQt5.QtWebSockets import QWebSocket

app = QCoreApplication(sys.argv)
socket = QWebSocket()


def say(what):
    print(json.dumps(what), flush=True)


def closed():
    say({"closed": int(socket.closeCode()), "why": socket.closeReason() or socket.errorString()})
    app.quit()


socket.connected.connect(lambda: socket.sendTextMessage(os.environ["START"]))
socket.textMessageReceived.connect(lambda text: say({"got": len(text.encode())}))
socket.disconnected.connect(closed)
request = QNetworkRequest(QUrl(os.environ["URL"]))
request.setRawHeader(b"Authorization", b"Bearer " + os.environ["TOKEN"].encode())
socket.open(request)
app.exec()
