#!/bin/sh
# Tries client libraries of other languages, and Debian's proxies, against the gateway: what docs/clients.md says is what this prints.
# Outside CI; installs Debian's packages (as root), and packages of PyPI and npm into a temporary directory.
#
#   scripts/try-client-libraries.sh [PROGRAM…]
set -eu
cd "$(dirname "$0")/.."
scripts/need.sh 'perl -MMojolicious -e 1=libmojolicious-perl' 'perl -MAnyEvent::WebSocket::Client -e 1=libanyevent-websocket-client-perl' \
    'ruby -rfaye/websocket -e 1=ruby-faye-websocket' tclsh=tcl 'ls /usr/share/tcltk/tcllib1.21/websocket=tcllib' go=golang-go \
    'ls /usr/share/gocode/src/nhooyr.io/websocket=golang-nhooyr-websocket-dev' \
    'ls /usr/share/gocode/src/github.com/gorilla/websocket=golang-github-gorilla-websocket-dev' \
    'ls /usr/share/gocode/src/golang.org/x/net/websocket=golang-golang-x-net-dev' javac=openjdk-17-jdk-headless \
    'ls /usr/lib/x86_64-linux-gnu/girepository-1.0/Soup-3.0.typelib=gir1.2-soup-3.0' '/usr/bin/python3 -c "import gi"=python3-gi' \
    '/usr/bin/python3 -c "import PyQt5.QtWebSockets"=python3-pyqt5.qtwebsockets' haproxy=haproxy caddy=caddy apache2=apache2-bin \
    lighttpd=lighttpd varnishd=varnish
packages=$(mktemp -d)
trap 'rm -rf "$packages"' EXIT
python3 -m venv "$packages/python"
"$packages/python/bin/pip" install --quiet websockets==17.4 aiohttp==3.14.5 websocket-client==1.9.2 autobahn==26.10.2 twisted==26.10.0 \
    tornado==6.6.1 picows==2.3.1 httpx-ws==0.9.0 trio-websocket==0.12.2 simple-websocket==1.1.0
npm install --prefix "$packages" --ignore-scripts --no-audit --no-fund --loglevel=error \
    ws@8.23.0 websocket@1.0.35 faye-websocket@0.11.4 undici@7.30.2
cargo build --bin claude-ws --example fake_claude
built=$(cd "${CARGO_TARGET_DIR:-target}/debug" && pwd)
export NODE_PATH="$packages/node_modules"
"$packages/python/bin/python" tests/clients/run.py "$built/claude-ws" "$built/examples/fake_claude" "$@"
[ $# -gt 0 ] || "$packages/python/bin/python" tests/clients/proxies.py "$built/claude-ws" "$built/examples/fake_claude"
