"""The gateway's configuration: one frozen value, read from the command line and checked at once."""

from __future__ import annotations

import argparse
import ipaddress
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from remote_runtime.wire import forking, limits
from remote_runtime.wire.failures import Failed

_SOCKET_NAME_BYTES = 24


@dataclass(frozen=True)
class Config:
    """How a gateway runs.

    Args:
        state: Directory for the token, records and logs; it outlives the gateway.
        runtime: Directory with a short path, for sockets.
        engine: Entry point's name of the engine.
        simulate: Devices declared for trial, such as "A100:2".
        host: Address to listen on.
        http_port: 0 means any free one.
        grpc_port: 0 means any free one.
        tls_cert: PEM certificate chain.
        tls_key: PEM private key.
        idle_exit_s: The gateway ends after so long with nothing held; 0: never.
        min_warm: Workers kept ready.
        max_workers: Most sessions at once.
        imports: Modules a warm worker has imported already.
        start: How the engine starts local workers: "auto", "fork" or "spawn".
        ready_fd: Descriptor that gets one line of JSON when the gateway is ready.
        release_countdown_s: From announcing the release of an idle session to the release.
        renew_s: Between two renewals of a lease.
        ttl_s: A worker that hears nothing for so long ends itself.
        watch_s: Between two looks at devices and idle sessions while somebody waits.
        files_keep_s: How long a session's working directory outlives the session.
        memory_limit_bytes: Of one worker; None means nine tenths of this machine's.
        engine_options: The engine's own, by name.
    """

    state: Path
    runtime: Path
    engine: str = "process"
    simulate: str = ""
    host: str = "127.0.0.1"
    http_port: int = 0
    grpc_port: int = 0
    tls_cert: str = ""
    tls_key: str = field(default="", repr=False)
    idle_exit_s: float = 900.0
    min_warm: int = 1
    max_workers: int = 32
    imports: tuple[str, ...] = ("numpy", "pandas", "torch")
    start: str = forking.AUTO
    ready_fd: int | None = None
    release_countdown_s: float = 60.0
    renew_s: float = limits.RENEW_S
    ttl_s: float = limits.LEASE_TTL_S
    watch_s: float = 0.5
    files_keep_s: float = limits.FILES_KEEP_S
    memory_limit_bytes: int | None = None
    engine_options: Mapping[str, str] = field(default_factory=dict)

    @property
    def tls(self) -> bool:
        """Whether TLS is spoken on TCP."""
        return bool(self.tls_cert)

    @property
    def unix(self) -> Path:
        """The gateway's own Unix socket."""
        return self.runtime / "gateway.sock"


def check(config: Config) -> Config:
    """Return the configuration when it can be run.

    Raises:
        Failed: code "unavailable", naming the value that cannot.
    """
    if bool(config.tls_cert) != bool(config.tls_key):
        raise Failed("unavailable", "only one of --tls-cert and --tls-key is given", "give both, or neither")
    if not is_loopback(config.host) and not config.tls:
        raise Failed(
            "unavailable", f"--host {config.host} can be reached from other machines and there is no TLS",
            "give --tls-cert and --tls-key, or listen on 127.0.0.1",
        )  # fmt: skip
    for path in filter(None, (config.tls_cert, config.tls_key)):
        if not os.access(path, os.R_OK):
            raise Failed("unavailable", f"the TLS file {path} cannot be read", "check its path and its mode")
    length = len(os.fsencode(config.runtime))
    if length + _SOCKET_NAME_BYTES > limits.UNIX_PATH_BYTES:
        most = limits.UNIX_PATH_BYTES - _SOCKET_NAME_BYTES
        raise Failed(
            "unavailable",
            f"--runtime-dir {config.runtime} is {length} bytes long, sockets need {most} or less",
            "choose a shorter path, such as one under /tmp",
        )
    return config


def is_loopback(host: str) -> bool:
    """Tell whether an address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def parse(arguments: Sequence[str]) -> Config:
    """Read the command line.

    Raises:
        Failed: The values cannot be run.
        SystemExit: The words cannot be read; argparse has told why.
    """
    given = vars(_parser().parse_args(arguments))
    given["state"], given["runtime"] = given["state"].absolute(), given.pop("runtime_dir").absolute()
    given["engine_options"] = options(given["engine_options"])
    given["imports"] = tuple(filter(None, map(str.strip, given["imports"].split(","))))
    return check(Config(**given))


def options(text: str) -> dict[str, str]:
    """Read an engine's options, as "memory=8g,cpus=2".

    Raises:
        Failed: code "unavailable", for a part that is no option with a value.
    """
    parts = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    for name, equals, value in parts:
        if not (name and equals and value):
            raise Failed("unavailable", f"{name + equals!r} in --engine-options {text!r} is no option with a value",
                         "write them as memory=8g,cpus=2")  # fmt: skip
    return {name.strip(): value.strip() for name, _, value in parts}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m remote_runtime.gateway", description=__doc__)
    add = parser.add_argument
    add("--state", type=Path, required=True, metavar="DIR", help="what outlives the gateway")
    add("--runtime-dir", type=Path, required=True, metavar="DIR", help="sockets; a short path")
    add("--engine", default="process", help="what starts workers")
    add("--engine-options", default="", metavar="NAME=VALUE,...", help="the engine's own, such as memory=8g,cpus=2")
    add("--simulate", default="", metavar="DEVICES", help="devices declared for trial, such as A100:2")
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--http-port", type=_whole, default=0, help="0: any free one")
    add("--grpc-port", type=_whole, default=0, help="0: any free one")
    add("--tls-cert", default="", metavar="FILE", help="PEM certificate chain")
    add("--tls-key", default="", metavar="FILE", help="PEM private key")
    add("--idle-exit-s", type=_seconds, default=900.0, help="end after so long with nothing held; 0: never")
    add("--min-warm", type=_whole, default=1, help="workers kept ready")
    add("--max-workers", type=_whole, default=32, help="most sessions at once")
    add("--imports", default="numpy,pandas,torch", help="modules a warm worker has imported")
    add("--start", default=forking.AUTO, choices=forking.STARTS, help="how local workers start")
    add("--ready-fd", type=_whole, default=None, help="gets one line of JSON when ready")
    add("--release-countdown-s", type=_seconds, default=60.0, help="notice before an idle session is released")
    add("--renew-s", type=_seconds, default=limits.RENEW_S, help="between two renewals of a lease")
    add(
        "--watch-s",
        type=_seconds,
        default=0.5,
        help="between two looks at idle sessions while somebody waits",
    )
    add("--files-keep-s", type=_seconds, default=limits.FILES_KEEP_S, help="how long files outlive their session")
    add(
        "--memory-limit-bytes",
        type=_whole,
        default=None,
        help="of one worker; default nine tenths of the machine",
    )
    return parser


def _whole(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is negative")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{value} is no duration in seconds")
    return value
