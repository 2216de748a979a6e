#!/bin/sh
# What the tests of the docker engine need: dockerd, a base image with Python, the docker SDK. Safe to run again.
#
#   tests/rigs/docker.sh [PYTHON]     install and start what is absent
#   tests/rigs/docker.sh stop         end the dockerd that this script has started
#
# No registry is asked: the base image is made of Debian packages. The worker's image is built by the tests themselves,
# with the product's own builder. Without root, or where no engine can run, it says so and the tests are skipped.
set -eu

CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/warmcell-rig"
RUN=/run/warmcell-rig
SUITE=bookworm
BASE=warmcell-base:py3.11

say() { echo "docker rig: $*"; }
skip() { say "$*; the tests of the docker engine will be skipped"; exit 0; }
answers() { docker_engine version >/dev/null 2>&1; }
docker_engine() { timeout 20 docker "$@"; }

stop() {
    [ -f "$RUN/dockerd.pid" ] || exit 0
    pid=$(cat "$RUN/dockerd.pid")
    kill "$pid" 2>/dev/null || exit 0
    for _ in $(seq 400); do kill -0 "$pid" 2>/dev/null || exit 0; sleep 0.1; done
    say "dockerd ($pid) does not end"; exit 1
}

install() {
    missing=""
    command -v dockerd >/dev/null || missing="$missing docker.io"
    command -v debootstrap >/dev/null || missing="$missing debootstrap"
    command -v iptables >/dev/null || missing="$missing iptables"
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || skip "apt-get is absent, install$missing by hand"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    { apt-get update -qq || true; apt-get install -y -qq --no-install-recommends $missing; } >"$CACHE/apt.log" 2>&1 ||
        skip "$missing could not be installed ($(tail -n 1 "$CACHE/apt.log"))"
}

start() {
    answers && return 0
    mkdir -p "$RUN"
    # Where there is no init system; a session of its own, so that it outlives the shell that ran this.
    setsid dockerd --pidfile "$RUN/dockerd.pid" >"$RUN/dockerd.log" 2>&1 </dev/null &
    for _ in $(seq 300); do answers && return 0; sleep 0.1; done
    skip "dockerd does not answer ($(tail -n 1 "$RUN/dockerd.log"))"
}

base() {
    docker_engine image inspect "$BASE" >/dev/null 2>&1 && return 0
    tarball="$CACHE/$SUITE-py3.11.tar"
    if [ ! -f "$tarball" ]; then
        root=$(mktemp -d "$CACHE/root.XXXXXX")
        say "making the base image from Debian packages"
        debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates,libgomp1,iproute2 "$SUITE" "$root" \
            >"$CACHE/debootstrap.log" 2>&1 || { rm -rf "$root"; skip "debootstrap failed ($(tail -n 1 "$CACHE/debootstrap.log"))"; }
        rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/doc "$root"/usr/share/locale
        tar -C "$root" -cf "$tarball.part" . && mv "$tarball.part" "$tarball"
        rm -rf "$root"
    fi
    timeout 120 docker import --change 'ENV LANG=C.UTF-8' "$tarball" "$BASE" >/dev/null
}

[ "${1:-}" = stop ] && stop
[ "$(id -u)" = 0 ] || { answers && say "an engine answers" && exit 0; skip "no engine answers and this is not root"; }
[ "$(uname -s)" = Linux ] || skip "$(uname -s) has no containers of this kind"
mkdir -p "$CACHE"
install
start
base
"${1:-python3}" -c 'import docker' 2>/dev/null || "${1:-python3}" -m pip install -q 'docker>=7.1'
say "ready ($(docker_engine version --format 'engine {{.Server.Version}}'), $BASE)"
