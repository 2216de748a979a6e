#!/bin/sh
# What the tests of one HTTPS port need: nginx. Does nothing where it is.
set -eu
command -v nginx >/dev/null 2>&1 || [ -x /usr/sbin/nginx ] && exit 0
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || { echo "no nginx, and no right to install it" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
apt-get install -y -qq --no-install-recommends nginx-light >/dev/null ||
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends nginx-light >/dev/null; }
