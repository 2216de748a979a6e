#!/bin/sh
# What the tests of `warmcell init` need beyond pip: systemd-analyze, to check the units that it writes.
set -e
command -v systemd-analyze >/dev/null && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "systemd-analyze is not here and cannot be installed: the units are not checked by it" >&2
    exit 0
fi
apt-get update -qq && apt-get install -qq -y --no-install-recommends systemd >/dev/null
