#!/bin/sh
# What the tests of connecting over SSH need: OpenSSH's client and server. Does nothing where they are.
set -eu
server() { command -v sshd >/dev/null 2>&1 || [ -x /usr/sbin/sshd ]; }
if ! server || ! command -v ssh >/dev/null 2>&1; then
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || { echo "no sshd, and no right to install it" >&2; exit 1; }
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -qq --no-install-recommends openssh-client openssh-server >/dev/null ||
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends openssh-client openssh-server >/dev/null; }
fi
# sshd that root starts wants this directory, which an init system makes elsewhere.
[ "$(id -u)" != 0 ] || mkdir -p -m 0755 /run/sshd
