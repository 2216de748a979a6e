"""The gateway's configuration: one frozen value, read from the command line and checked at once."""

from __future__ import annotations

import argparse
import ipaddress
import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from remote_runtime.gateway.policy import Policy, read_policy
from remote_runtime.pool import scaling
from remote_runtime.wire import forking, limits
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.targets import parse_share

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
        tls_names: What the runtime's own certificate is for, beside this machine's names and addresses.
        idle_exit_s: The gateway ends after so long with nothing held; 0: never.
        min_warm: Workers kept ready.
        buffer_warm: Workers kept ready of an image or environment that is used.
        scaledown_s: How long an image or environment counts as used after its last session.
        pause_after_s: How long a worker waits for somebody before it is paused, where the engine can.
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
        lease_memory_bytes: Share of each device of a lease that names none; None means all of it.
        cache_bytes: What a session keeps of what was sent to it, when nothing there holds it; None: by its memory.
        policy: What its file allows.
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
    tls_names: tuple[str, ...] = ()
    idle_exit_s: float = 900.0
    min_warm: int = 1
    buffer_warm: int = 1
    scaledown_s: float = 300.0
    pause_after_s: float = 300.0
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
    lease_memory_bytes: int | None = None
    cache_bytes: int | None = None
    policy: Policy = Policy()
    engine_options: Mapping[str, str] = field(default_factory=dict)

    @property
    def tls(self) -> bool:
        """Whether TLS is spoken on TCP."""
        return bool(self.tls_cert)

    @property
    def pool_policy(self) -> scaling.Policy:
        """How many workers are kept, and how long."""
        return scaling.Policy(self.min_warm, self.buffer_warm, self.scaledown_s, self.pause_after_s)

    @property
    def own_ca(self) -> Path:
        """The certificate of the runtime's own authority, there only if it ever had to make one."""
        return self.state / "tls" / "ca.pem"

    @property
    def own_tls(self) -> bool:
        """Whether the runtime makes its certificate itself: others can reach it, and none is given."""
        given = self.tls_cert not in ("", str(self.own_ca.with_name("server.pem")))
        return not is_loopback(self.host) and not given

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


def is_whole(config: Config) -> bool:
    """Tell whether the TLS files can be used together, as they cannot while somebody writes them."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(config.tls_cert, config.tls_key)
    except (OSError, ValueError):  # an SSLError is an OSError
        return False
    return True


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
    given["policy"] = read_policy(given["state"], given.pop("config"))
    given["lease_memory_bytes"] = given["lease_memory_bytes"] or given["policy"].lease_memory_bytes
    given["engine_options"] = options(given["engine_options"])
    given["imports"] = tuple(filter(None, map(str.strip, given["imports"].split(","))))
    given["tls_names"] = tuple(given["tls_names"])
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
    add("--config", default="", metavar="FILE", help="what is allowed, such as mounts [STATE/gateway.toml]")
    add("--engine", default="process", help="what starts workers")
    add("--engine-options", default="", metavar="NAME=VALUE,...", help="the engine's own, such as memory=8g,cpus=2")
    add("--simulate", default="", metavar="DEVICES", help="devices declared for trial, such as A100:2")
    add("--host", default="127.0.0.1", help="address to listen on; with TLS of our own where others can reach it")
    add("--http-port", type=_whole, default=0, help="0: any free one")
    add("--grpc-port", type=_whole, default=0, help="0: any free one")
    add("--tls-cert", default="", metavar="FILE", help="PEM certificate chain")
    add("--tls-key", default="", metavar="FILE", help="PEM private key")
    add("--tls-name", dest="tls_names", default=[], action="append", metavar="NAME", help="of our own certificate")
    add("--idle-exit-s", type=_seconds, default=900.0, help="end after so long with nothing held; 0: never")
    add("--min-warm", type=_whole, default=1, help="workers kept ready")
    add("--buffer-warm", type=_whole, default=1, help="workers kept ready of an image that is used")
    add("--scaledown-s", type=_seconds, default=300.0, help="how long an image counts as used after its last session")
    add("--pause-after-s", type=_seconds, default=300.0, help="wait of a warm worker before it is paused")
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
    add(
        "--lease-memory",
        dest="lease_memory_bytes",
        type=_share,
        default=None,
        metavar="20GB",
        help="share of a device of a session that names none; default all of it",
    )
    add("--cache-bytes", type=_whole, default=None, help="kept by a session of what was sent to it; 0: nothing")
    return parser


def _whole(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is negative")
    return value


def _share(text: str) -> int:
    try:
        return parse_share(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).replace("\nhint: ", "; ")) from None


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{value} is no duration in seconds")
    return value
