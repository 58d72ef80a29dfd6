#!/bin/sh
# Tests the web console in headless Chromium against the gateway of this checkout (target/debug) in --demo.
#
#   scripts/test-console.sh CLAUDE
#
# Needs Debian's chromium (or CHROMIUM_BIN); root on a Debian machine gets it installed.
set -eu

[ $# -eq 1 ] || {
    echo "usage: scripts/test-console.sh CLAUDE" >&2
    exit 1
}
CLAUDE_WS_CLAUDE_BIN=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
export CLAUDE_WS_CLAUDE_BIN
cd "$(dirname "$0")/.."

if [ -z "${CHROMIUM_BIN:-}" ] && ! command -v chromium >/dev/null; then
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends chromium >/dev/null
    else
        echo "test-console: chromium is needed (apt-get install chromium), or name one with CHROMIUM_BIN" >&2
        exit 1
    fi
fi

cargo build --bin claude-ws
npm --prefix clients/typescript ci --no-audit --no-fund --loglevel=error
cd console
npm ci --no-audit --no-fund --loglevel=error
npm run vendor:check
npm test
