r"""The embedded gateway of this user on this machine: found by its state directory, or started.

    state directory -> gateway.json -> alive? -> Gateway
                              \- no -> spawn, ready pipe -> Gateway   (lost a race: the winner's gateway.json)

The gateway outlives the kernel that started it, so it gets a session of its own, no descriptor but the ready
pipe, and its log for an output. Two that start at once are told apart by the gateway itself: the later one
exits with code 3, and whoever started it takes the earlier one.
"""

from __future__ import annotations

import os
import select
import site
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from kernel_proxy import statedir
from kernel_proxy.settings import Settings
from kernel_proxy.statedir import Gateway, fail

ALREADY_RUNNING = 3
"""Exit code of a gateway whose state directory already has one."""

WINNER_S = 20.0
"""How long the gateway that won a race may take to become ready."""


@dataclass(frozen=True)
class Launch:
    """How a gateway is started.

    Args:
        home: State directory.
        simulate: Devices declared for trial, as `A100:2`.
        host: Address that it listens on.
        tls_cert: PEM certificate chain, for TLS.
        tls_key: PEM private key, for TLS.
        tls_names: Names that the runtime's own certificate is for, beside those of the machine.
        http_port: 0 means any free one.
        grpc_port: 0 means any free one.
        idle_exit_s: Seconds without any session after which it ends itself; 0 means never.
        imports: Modules its warm workers have imported, as `numpy,torch`; None leaves it to the gateway.
        start: How its workers start: `fork`, `spawn` or `auto`; None leaves it to the gateway.
        start_s: Seconds it may take to become ready.
        files_keep_s: Seconds that files outlive their session; None leaves it to the gateway.
        cache_bytes: Kept by a session of what was sent to it; None leaves it to the gateway.
        config: File with what its admin allows; empty for `gateway.toml` in the state directory.
        engine: What starts its workers, as `docker`; empty leaves it to the gateway.
        engine_options: The engine's own, as `memory=8g,cpus=2`.
        lease_memory: Share of a device of a session that names none, as `20GB`; empty leaves it to the gateway.
    """

    home: Path
    simulate: str = ""
    host: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    tls_names: tuple[str, ...] = ()
    http_port: int = 0
    grpc_port: int = 0
    idle_exit_s: float | None = None
    imports: str | None = None
    start: str | None = None
    start_s: float = 60.0
    files_keep_s: float | None = None
    cache_bytes: int | None = None
    config: str = ""
    engine: str = ""
    engine_options: str = ""
    lease_memory: str = ""

    def command(self, ready_fd: int | None) -> list[str]:
        """Return the gateway's command line."""
        given = {
            "--engine": self.engine or None,
            "--engine-options": self.engine_options or None,
            "--simulate": self.simulate or None,
            "--host": self.host or None,
            "--tls-cert": Path(self.tls_cert).absolute() if self.tls_cert else None,
            "--tls-key": Path(self.tls_key).absolute() if self.tls_key else None,
            "--http-port": self.http_port or None,
            "--grpc-port": self.grpc_port or None,
            "--idle-exit-s": self.idle_exit_s,
            "--imports": self.imports,
            "--files-keep-s": self.files_keep_s,
            "--start": self.start,
            "--cache-bytes": self.cache_bytes,
            "--config": Path(self.config).absolute() if self.config else None,
            "--lease-memory": self.lease_memory or None,
            "--ready-fd": ready_fd,
        }
        flags = [f"{flag}={value}" for flag, value in given.items() if value is not None]
        flags += [f"--tls-name={name}" for name in self.tls_names]
        directories = ["--state", str(self.home), "--runtime-dir", str(statedir.runtime_dir(self.home))]
        return [sys.executable, "-m", "remote_runtime.gateway", *directories, *flags]


def launch_of(settings: Settings) -> Launch:
    """Return how the embedded gateway is started under these settings."""
    return Launch(
        settings.home,
        settings.simulate,
        idle_exit_s=settings.idle_exit_s,
        imports=settings.imports,
        start=settings.start,
        start_s=settings.start_s,
        files_keep_s=settings.files_keep_s,
        cache_bytes=settings.cache_bytes,
        engine=settings.engine,
        engine_options=settings.engine_options,
    )


def find(home: Path) -> Gateway | None:
    """Return the gateway that runs on a state directory, or None.

    Raises:
        RuntimeUnavailable: It runs, but its files cannot be read by this user.
    """
    _started[:] = [process for process in _started if process.poll() is None]  # reaps those that have ended
    return statedir.find(home)


def find_or_start(launch: Launch) -> tuple[Gateway, bool]:
    """Return the gateway of a state directory, started if there is none, and whether this call started it.

    Raises:
        RuntimeUnavailable: It could not be started; the message ends with the last lines of its log.
    """
    found = find(launch.home)
    return (found, False) if found is not None else start(launch)


def start(launch: Launch) -> tuple[Gateway, bool]:
    """Start a gateway and wait until it is ready; where another one was faster, return that.

    Returns:
        The gateway, and whether it is the one started here.

    Raises:
        RuntimeUnavailable: It ended or was silent before it was ready.
    """
    statedir.prepare(launch.home)
    ready, theirs = os.pipe()
    try:
        log_from_bytes = _size(launch.home / "gateway.log")
        process = _spawn(launch, theirs)
        _started.append(process)
        line = _read_line(ready, launch.start_s)
    finally:
        os.close(ready)
    if line:
        return _require(launch.home, 1.0), True
    return _not_ready(process, launch, log_from_bytes), False


_started: list[subprocess.Popen[bytes]] = []
"""Gateways that are children of this process, kept so that one which ends is reaped, not taken for alive."""


def _spawn(launch: Launch, ready_fd: int) -> subprocess.Popen[bytes]:
    with open(launch.home / "gateway.log", "ab", opener=_private) as log:
        try:
            return subprocess.Popen(
                launch.command(ready_fd),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=launch.home,
                env=environment(),
                pass_fds=(ready_fd,),
                start_new_session=True,
            )
        finally:
            os.close(ready_fd)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def environment() -> dict[str, str]:
    """Return the environment of a gateway started from here."""
    root = str(Path(__file__).resolve().parents[1])
    if root in (*site.getsitepackages(), site.getusersitepackages()):
        return dict(os.environ)
    # A source checkout is importable here by the working directory, which the gateway does not share.
    inherited = os.environ.get("PYTHONPATH", "")
    return {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{inherited}" if inherited else root}


def _read_line(descriptor: int, timeout_s: float) -> bytes:
    """Return what comes up to a newline; empty when the other side ends or time is over before it."""
    deadline, received = time.monotonic() + timeout_s, b""
    waiter = select.poll()  # unlike select(), with descriptors above 1023 too
    waiter.register(descriptor, select.POLLIN)
    while not received.endswith(b"\n"):
        if not waiter.poll(max(0.0, deadline - time.monotonic()) * 1000):
            return b""
        if not (piece := os.read(descriptor, 4096)):
            return b""
        received += piece
    return received


def _not_ready(process: subprocess.Popen[bytes], launch: Launch, log_from_bytes: int) -> Gateway:
    try:
        code: int | None = process.wait(2.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        code = None
    if code == ALREADY_RUNNING:
        return _require(launch.home, WINNER_S)
    what = f"ended with code {code}" if code is not None else f"took more than {launch.start_s:g} s"
    tail = statedir.log_tail(launch.home, log_from_bytes)
    said = f"; its log ends with:\n{tail}" if tail else ""
    return fail(f"the embedded gateway {what} before it was ready{said}", f"see {launch.home}/gateway.log")


def _require(home: Path, timeout_s: float) -> Gateway:
    """Wait for the files of a gateway that another process started, which nothing announces to us."""
    deadline = time.monotonic() + timeout_s
    while (found := statedir.find(home)) is None:
        if time.monotonic() > deadline:
            fail(f"the gateway on {home} is not ready after {timeout_s:g} s", f"see {home}/gateway.log")
        time.sleep(0.02)
    return found


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
