#!/bin/sh
# What the tests of images need beyond what the project requires: uv. Safe to run again.
#
#   tests/rigs/images.sh [PYTHON]     install uv beside an interpreter where there is none
#
# Where it cannot be had, the test that needs it is skipped and says so. Container images need tests/rigs/docker.sh.
set -eu

PYTHON="${1:-python3}"
command -v uv >/dev/null && exit 0
[ -x "$(dirname "$("$PYTHON" -c 'import sys; print(sys.executable)')")/uv" ] && exit 0
"$PYTHON" -m pip install -q uv || echo "images rig: uv could not be installed; its test will be skipped"
