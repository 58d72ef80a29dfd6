#!/bin/sh
# Installs MCP's reference server into .mcp-server, for tests/it/mcp.rs.
set -eu
cd "$(dirname "$0")/.."
version=2026.8.31
package=.mcp-server/node_modules/@modelcontextprotocol/server-everything/package.json
if ! grep -qs "\"version\": \"$version\"" "$package"; then
    mkdir -p .mcp-server
    npm install --prefix .mcp-server --no-audit --no-fund --silent "@modelcontextprotocol/server-everything@$version" >&2
fi
