#!/usr/bin/env bash
# Tcl's websocket client (tcllib 1.21, Debian 12) offers an empty list of subprotocols, and strict servers refuse its handshake.
#
# Guess before looking: a client that is given no subprotocol sends no Sec-WebSocket-Protocol header.
# Seen: it sends "Sec-WebSocket-Protocol:" with nothing in it (and two Connection lines, "close" and "Upgrade"). Of two servers that offer no subprotocol either,
#   - Python websockets 17.4 answers 400 (its header parser wants at least one name),
#   - npm ws 8.23.0 answers 400 as well ("Invalid Sec-WebSocket-Protocol header").
# With `-protocol chat` the header has a name and both upgrade. A server that wants to serve Tcl programs takes an empty header for none.
#
# Needs: apt-get download (Debian 12), tclsh's packages from there, python3 with pip, node with npm. Fails if any of this changes.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || :; rm -rf "$dir"' EXIT
cd "$dir"
apt-get download tcl8.6=8.6.13+dfsg-2 libtcl8.6=8.6.13+dfsg-2 tcllib=1.21+dfsg-1 >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" root; done
python3 -m venv py && py/bin/pip install --quiet websockets==17.4
npm install --prefix "$dir" --ignore-scripts --no-audit --no-fund --loglevel=error ws@8.23.0 >/dev/null

cat >server.py <<'PY'
import asyncio, websockets
async def hello(socket):
    await socket.wait_closed()
async def main():
    async with websockets.serve(hello, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
PY
cat >server.cjs <<'JS'
const { WebSocketServer } = require('ws');
const server = new WebSocketServer({ port: 0, host: '127.0.0.1' }, () => console.log(server.address().port));
setTimeout(() => process.exit(), 60_000).unref?.();
JS
cat >raw.py <<'PY'
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    peer, _ = server.accept()
    head = b""
    while b"\r\n\r\n" not in head:
        head += peer.recv(4096)
    open("head.txt", "wb").write(head)
PY
cat >client.tcl <<'TCL'
package require websocket
proc said {socket kind data} { puts "$kind $data"; exit }
::websocket::open [lindex $argv 0] said {*}[lrange $argv 1 end]
after 10000 { puts "nothing"; exit }
vwait forever
TCL
tcl() {
    LD_LIBRARY_PATH=$dir/root/usr/lib/x86_64-linux-gnu TCL_LIBRARY=$dir/root/usr/share/tcltk/tcl8.6 TCLLIBPATH=$dir/root/usr/share/tcltk \
        "$dir/root/usr/bin/tclsh8.6" client.tcl "$@"
}
serve() { # NAME COMMAND…: starts it, and sets `port`
    local name=$1
    shift
    "$@" >"$name.port" &
    for _ in $(seq 200); do [ -s "$name.port" ] && break; sleep 0.05; done
    port=$(cat "$name.port")
}

serve raw python3 raw.py
tcl "ws://127.0.0.1:$port/" >/dev/null || :
grep -aqiE '^Sec-WebSocket-Protocol: *.?$' head.txt || { echo "changed: no empty Sec-WebSocket-Protocol header"; cat head.txt; exit 1; }
grep -aqi "^Connection: close" head.txt && grep -aqi "^Connection: Upgrade" head.txt || { echo "changed: Connection is not said twice"; cat head.txt; exit 1; }
for name in python node; do
    case $name in python) serve python py/bin/python server.py ;; node) serve node node server.cjs ;; esac
    plain=$(tcl "ws://127.0.0.1:$port/")
    named=$(tcl "ws://127.0.0.1:$port/" -protocol chat)
    echo "$name: without -protocol: $plain; with it: $named"
    [[ $plain == *400* ]] || { echo "changed: $name does not refuse the empty header"; exit 1; }
    [[ $named != *400* ]] || { echo "changed: $name refuses a named subprotocol"; exit 1; }
done
echo "as described"
