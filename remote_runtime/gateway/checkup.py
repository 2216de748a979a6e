"""The runtime's own side, checked one by one for admins: a check is a row of a table and a function of facts.

    Facts -> CHECKS -> findings (ok, warn or fail; a sentence; what to do)

Nothing is started or changed; a check that cannot look says so, and is a warning.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remote_runtime.engines.base import CPU, Device
from remote_runtime.gateway.config import Config, is_loopback
from remote_runtime.gateway.tokens import Token
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import versions

LOW_DISK_BYTES, LOW_SHM_BYTES = 2 * 1024**3, 1024**3
SOON_S, CERTIFICATE_SOON_S = 7 * 86400.0, 14 * 86400.0
DOCKER_S = 5.0
_SHM = Path("/dev/shm")
_NEEDED = ("grpcio", "protobuf", "starlette", "uvicorn")

Verdict = tuple[str, str, str]


@dataclass(frozen=True)
class Facts:
    """What the checks look at.

    Args:
        config: How the gateway runs.
        engine: What starts workers.
        devices: As they are now.
        tokens: Every token.
        now_at: Seconds since the epoch.
    """

    config: Config
    engine: str
    devices: Sequence[Device]
    tokens: Sequence[Token]
    now_at: float


def _ok(sentence: str) -> Verdict:
    return "ok", sentence, ""


def python(facts: Facts) -> Verdict:
    """Which Python and libraries serve."""
    found = {name: versions.installed(name) for name in _NEEDED}
    missing = [name for name, version in found.items() if version is None]
    if missing:
        return "fail", f"{', '.join(missing)} cannot be found", f"pip install {' '.join(missing)}"
    words = ", ".join(f"{name} {version}" for name, version in found.items())
    return _ok(f"Python {'.'.join(map(str, sys.version_info[:3]))}, {words}")


def disk(facts: Facts) -> Verdict:
    """Whether there is room for the store, logs and working directories."""
    usage = shutil.disk_usage(facts.config.state)
    sentence = f"{usage.free / 1024**3:.1f} of {usage.total / 1024**3:.0f} GiB are free at {facts.config.state}"
    if usage.free < LOW_DISK_BYTES:
        return "warn", sentence, "make room, or start with another --state"
    return _ok(sentence)


def shared_memory(facts: Facts) -> Verdict:
    """Whether values and data loaders have shared memory."""
    if not _SHM.is_dir():
        return "warn", f"there is no {_SHM}", "mount a tmpfs there: torch's data loaders need it"
    usage = shutil.disk_usage(_SHM)
    sentence = f"{usage.free / 1024**3:.1f} of {usage.total / 1024**3:.1f} GiB are free in {_SHM}"
    if usage.free < LOW_SHM_BYTES:
        return "warn", sentence, "remove what is left in it, or make it larger: in a container, with --shm-size=8g"
    return _ok(sentence)


def listening(facts: Facts) -> Verdict:
    """Whether the ports are those that clients will find after a restart."""
    config = facts.config
    if is_loopback(config.host):
        return _ok(f"only this machine reaches it, on {config.host}")
    if not (config.http_port and config.grpc_port):
        return "warn", f"it listens on {config.host} with ports that change at each start", \
            "start with --http-port and --grpc-port, as `warmcell init` does"
    return _ok(f"it listens on {config.host}, ports {config.http_port} (HTTP) and {config.grpc_port} (gRPC)")


def certificate(facts: Facts) -> Verdict:
    """Whether TLS is spoken, until when, and for which names."""
    config = facts.config
    if not config.tls:
        return _ok("no TLS is needed: only this machine reaches it")
    from remote_runtime.gateway import certificates  # loads a library that others do without

    try:
        shown = certificates.shown(Path(config.tls_cert))
    except (OSError, ValueError) as error:
        return "fail", f"the certificate {config.tls_cert} cannot be read: {error}", "give another --tls-cert"
    days, names = (shown.ends_at - facts.now_at) / 86400.0, ", ".join(shown.names) or "no name"
    renews = "it is renewed by itself" if config.own_tls else "replace its files and send the gateway SIGHUP"
    if days < 0:
        return "fail", f"the certificate ended {-days:.0f} days ago", renews
    sentence = f"the certificate is good for {days:.0f} days, and for {names}"
    return ("warn", sentence, renews) if days * 86400.0 < CERTIFICATE_SOON_S else _ok(sentence)


def users(facts: Facts) -> Verdict:
    """Whether somebody's token ends soon."""
    good = [token for token in facts.tokens if token.is_good(facts.now_at)]
    soon = [t for t in good if t.expires_at is not None and t.expires_at - facts.now_at < SOON_S]
    names = sorted({token.user for token in good})
    sentence = f"{len(good)} good token{'s' if len(good) != 1 else ''}, of {', '.join(names)}"
    if soon:
        ending = ", ".join(f"{token.token_id} of {token.user}" for token in soon)
        return "warn", f"{sentence}; within 7 days end {ending}", f"`warmcell user token {soon[0].user}` makes another"
    return _ok(sentence)


def gpus(facts: Facts) -> Verdict:
    """Whether the devices can be used."""
    real = [device for device in facts.devices if device.id != CPU and not device.simulated]
    simulated = sum(device.simulated for device in facts.devices)
    broken = [device.id for device in real if device.state == "failed"]
    note = f"{simulated} simulated" if simulated else ""
    if broken:
        return "fail", f"{', '.join(broken)} failed", "see `nvidia-smi`, and the kernel's log for `NVRM: Xid`"
    if not real:
        sentence = "no NVIDIA device was found" + (f"; {note}" if note else "")
        return "warn", sentence, "install NVIDIA's driver, so that `nvidia-smi` lists the devices; or use `%%gpu cpu`"
    return _ok(", ".join(filter(None, [*(device.model for device in real), note])))


def docker(facts: Facts) -> Verdict:
    """Whether the engine's daemon answers, and can hand out GPUs."""
    if facts.engine != "docker":
        return _ok(f"the engine is {facts.engine}, which needs no daemon")
    place = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not place.startswith("unix://"):
        return "warn", f"DOCKER_HOST is {place}, which is not looked at from here", f"try `docker -H {place} info`"
    try:
        info = _docker_info(place.removeprefix("unix://"))
    except (OSError, ValueError, http.client.HTTPException) as error:
        return "fail", f"no Docker daemon answers at {place}: {error}", \
            "start it (`systemctl start docker`), and let this account use it (group docker)"
    runtimes = info.get("Runtimes") or {}
    sentence = f"Docker {info.get('ServerVersion')} with {', '.join(sorted(runtimes)) or 'no'} runtimes"
    real = any(device.id != CPU and not device.simulated for device in facts.devices)
    if real and "nvidia" not in runtimes and not info.get("DiscoveredDevices") and not info.get("CDISpecDirs"):
        return "fail", f"{sentence}, but none for GPUs", "install nvidia-container-toolkit, and restart Docker"
    return _ok(sentence)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=DOCKER_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(DOCKER_S)
        self.sock.connect(self._path)


def _docker_info(path: str) -> dict[str, Any]:
    connection = _UnixConnection(path)
    try:
        connection.request("GET", "/info")
        reply = connection.getresponse()
        if reply.status != http.client.OK:
            raise ValueError(f"it answered with HTTP status {reply.status}")
        return json.loads(reply.read())
    finally:
        connection.close()


def proxies(facts: Facts) -> Verdict:
    """Whether the gateway's environment sends anything through a proxy."""
    found = [f"{name}={os.environ[name]}" for name in _PROXIES if os.environ.get(name)]
    return _ok(f"cells inherit {', '.join(map(_without_password, found))}" if found else "no proxy is set")


_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")


def _without_password(text: str) -> str:
    head, at, tail = text.rpartition("@")
    return f"{head.partition('://')[0]}://***@{tail}" if at else text


CHECKS: Mapping[str, Callable[[Facts], Verdict]] = {
    "python": python,
    "disk": disk,
    "shared memory": shared_memory,
    "listening": listening,
    "certificate": certificate,
    "users": users,
    "gpus": gpus,
    "docker": docker,
    "proxies": proxies,
}
"""Name -> check, in the order in which they are shown."""


def examine(facts: Facts, store: str) -> list[pb.Finding]:
    """Run every check; it may wait for the disk and for Docker's daemon.

    Args:
        facts: What is looked at.
        store: What is wrong with the store, "" when it is whole.
    """
    whole = _ok(f"{facts.config.state / 'store.db'} is whole")
    hint = "stop the runtime and start it again: a damaged store is moved aside"
    verdicts = {"store": ("fail", store, hint) if store else whole}
    verdicts |= {name: check(facts) for name, check in CHECKS.items()}
    return [pb.Finding(name=n, state=s, sentence=t, fix=f) for n, (s, t, f) in verdicts.items()]
