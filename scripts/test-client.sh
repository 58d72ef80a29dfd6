#!/bin/sh
# Type-checks and tests the TypeScript client, also against the gateway of this checkout (target/debug) in --demo.
#
#   scripts/test-client.sh CLAUDE
set -eu

[ $# -eq 1 ] || {
    echo "usage: scripts/test-client.sh CLAUDE" >&2
    exit 1
}
CLAUDE_WS_CLAUDE_BIN=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
export CLAUDE_WS_CLAUDE_BIN
cd "$(dirname "$0")/.."

cargo build --bin claude-ws
cd clients/typescript
npm ci --no-audit --no-fund --loglevel=error
npm run check
npm test
npm run test:integration
