#!/bin/sh
# Makes sure that nginx and openssl are there, for tests/nginx. Installs Debian's as root; otherwise says what is missing and fails.
set -eu
PATH=$PATH:/usr/sbin
missing=
for tool in nginx openssl; do
    command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $missing
else
    echo "get-nginx: not installed:$missing (Debian: apt-get install$missing)" >&2
    exit 1
fi
