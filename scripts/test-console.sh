#!/bin/sh
# Tests the web console in headless Chromium against the gateway of this checkout (target/debug) in --demo.
#
#   scripts/test-console.sh CLAUDE
#
# Needs Debian's chromium (or CHROMIUM_BIN); root on a Debian machine gets it installed. SCREENSHOTS=1 also writes
# docs/screenshots.
set -eu

[ $# -eq 1 ] || {
    echo "usage: scripts/test-console.sh CLAUDE" >&2
    exit 1
}
CLAUDE_WS_CLAUDE_BIN=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
export CLAUDE_WS_CLAUDE_BIN
cd "$(dirname "$0")/.."

[ -n "${CHROMIUM_BIN:-}" ] || scripts/need.sh chromium=chromium
# The screenshots are to look the same wherever they are taken.
[ -z "${SCREENSHOTS:-}" ] ||
    scripts/need.sh "fc-list | grep -q Inter=fonts-inter" "fc-list | grep -q 'JetBrains Mono'=fonts-jetbrains-mono" \
        "fc-list | grep -q 'Noto Color Emoji'=fonts-noto-color-emoji"

cargo build --bin claude-ws
npm --prefix clients/typescript ci --no-audit --no-fund --loglevel=error
cd console
npm ci --no-audit --no-fund --loglevel=error
npm run vendor:check
npm test
