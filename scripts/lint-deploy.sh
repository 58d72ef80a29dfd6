#!/usr/bin/env bash
# Lints what nobody runs here: Dockerfile (hadolint), compose file (the compose specification's schema, and nginx with its files),
# systemd units (systemd-analyze verify).
#
#   scripts/lint-deploy.sh VENV CLAUDE_WS
#
# VENV: of scripts/get-python.sh. CLAUDE_WS: any binary, so that the units find what they start.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin
scripts/need.sh systemd-analyze=systemd nginx=nginx-light openssl=openssl
venv=$1 binary=$(realpath "$2")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

"$venv/bin/hadolint" Dockerfile
echo "hadolint: Dockerfile is clean"

"$venv/bin/check-jsonschema" --quiet --builtin-schema vendor.compose-spec deploy/compose.yaml
echo "check-jsonschema: compose.yaml is as the compose specification wants it"
# What the file mounts must be there; secrets are the operator's.
"$venv/bin/python" - <<'PY'
import pathlib, yaml
compose = yaml.safe_load(open("deploy/compose.yaml"))
assert set(compose["services"]) == {"gateway", "nginx"}, compose["services"]
for service in compose["services"].values():
    for volume in service["volumes"]:
        source = volume.split(":")[0]
        known = source in compose["volumes"] or source.startswith("./secrets/") or pathlib.Path("deploy", source).exists()
        assert known, f"compose.yaml mounts {source}, which is not there"
PY
# Its nginx, with its files where it mounts them.
cp -r deploy/nginx "$dir/claude-ws"
cp deploy/compose/*.conf "$dir/claude-ws"
cp deploy/nginx.conf "$dir/default.conf"
openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -keyout "$dir/privkey.pem" -out "$dir/fullchain.pem" 2>/dev/null
sed -i "s|/etc/nginx/|$dir/|" "$dir/claude-ws/site.conf"
# Names of the compose network mean something only there; Debian's nginx is older than `http2 on`.
sed -i 's/server gateway:/server 127.0.0.1:/' "$dir/claude-ws/upstream.conf"
sed -i "s|^listen .* ssl;|listen unix:$dir/socket ssl http2;|; /^http2 /d" "$dir/claude-ws/site.conf"
echo "pid $dir/pid; error_log $dir/error.log; events {} http { access_log off; include default.conf; }" >"$dir/nginx.conf"
nginx -t -q -p "$dir/" -c "$dir/nginx.conf"
echo "nginx: the files that compose.yaml mounts are understood"

for unit in service socket; do
    sed "s|/usr/local/bin/claude-ws|$binary|" "deploy/claude-ws.$unit" >"$dir/claude-ws.$unit"
done
systemd-analyze verify "$dir/claude-ws.service" "$dir/claude-ws.socket"
echo "systemd-analyze: units are fine"
