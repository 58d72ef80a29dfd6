#!/usr/bin/env bash
# Lints what nobody runs here: Dockerfile (hadolint), compose files (the compose specification's schema, and nginx with their
# files), Kubernetes manifests (the API's schema), systemd units (systemd-analyze verify).
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

for compose in compose.yaml compose.cluster.yaml; do
    "$venv/bin/check-jsonschema" --quiet --builtin-schema vendor.compose-spec "deploy/$compose"
    echo "check-jsonschema: $compose is as the compose specification wants it"
done
# What the files mount, and what gateways are told, must be there; secrets are the operator's.
"$venv/bin/python" - "$binary" <<'PY'
import pathlib, re, subprocess, sys, yaml
flags = set(re.findall(r"CLAUDE_WS_\w+", subprocess.run([sys.argv[1], "--help"], capture_output=True, text=True, check=True).stdout))
for name, services in {"compose.yaml": {"gateway", "nginx"}, "compose.cluster.yaml": {"gateway-1", "gateway-2", "redis", "nginx"}}.items():
    compose = yaml.safe_load(open(f"deploy/{name}"))
    assert set(compose["services"]) == services, compose["services"]
    for service in compose["services"].values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            known = source in compose["volumes"] or source.startswith("./secrets/") or pathlib.Path("deploy", source).exists()
            assert known, f"{name} mounts {source}, which is not there"
        unknown = set(service.get("environment", {})) - flags
        assert not unknown, f"{name} sets {unknown}, which claude-ws does not know"
gateway = next(yaml.safe_load_all(open("deploy/kubernetes/gateway.yaml")))["spec"]["template"]["spec"]["containers"][0]
unknown = {variable["name"] for variable in gateway["env"]} - flags
assert not unknown, f"kubernetes/gateway.yaml sets {unknown}, which claude-ws does not know"
listed = yaml.safe_load(open("deploy/kubernetes/kustomization.yaml"))["resources"]
files = {path.name for path in pathlib.Path("deploy/kubernetes").glob("*.yaml")} - {"kustomization.yaml"}
assert set(listed) == files, f"kustomization.yaml lists {listed}, there are {files}"
PY
for file in deploy/kubernetes/*.yaml; do
    case $file in */kustomization.yaml) continue ;; esac
    "$venv/bin/kubernetes-validate" --strict --quiet "$file"
done
echo "kubernetes-validate: the manifests are as Kubernetes' API wants them"

# Each composition's nginx, with its files where it mounts them.
for upstream in deploy/compose/upstream.conf deploy/compose/cluster/upstream.conf; do
    rm -rf "$dir/claude-ws"
    cp -r deploy/nginx "$dir/claude-ws"
    cp deploy/compose/site.conf "$upstream" "$dir/claude-ws"
    cp deploy/nginx.conf "$dir/default.conf"
    [ -e "$dir/fullchain.pem" ] ||
        openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -keyout "$dir/privkey.pem" -out "$dir/fullchain.pem" 2>/dev/null
    sed -i "s|/etc/nginx/|$dir/|" "$dir/claude-ws/site.conf"
    # Names of the compose network mean something only there; Debian's nginx is older than `http2 on`.
    sed -i 's/server gateway[^:]*:/server 127.0.0.1:/' "$dir/claude-ws/upstream.conf"
    sed -i "s|^listen .* ssl;|listen unix:$dir/socket ssl http2;|; /^http2 /d" "$dir/claude-ws/site.conf"
    echo "pid $dir/pid; error_log $dir/error.log; events {} http { access_log off; include default.conf; }" >"$dir/nginx.conf"
    nginx -t -q -p "$dir/" -c "$dir/nginx.conf"
done
echo "nginx: the files that the compositions mount are understood"

for unit in service socket; do
    sed "s|/usr/local/bin/claude-ws|$binary|" "deploy/claude-ws.$unit" >"$dir/claude-ws.$unit"
done
systemd-analyze verify "$dir/claude-ws.service" "$dir/claude-ws.socket"
echo "systemd-analyze: units are fine"
