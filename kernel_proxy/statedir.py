"""The state directory of this machine's runtime: who runs on it, its log, the short directory of its sockets.

state directory -> gateway.json, token -> Gateway, if its process is alive
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import stat
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from kernel_proxy.errors import RuntimeUnavailable

_RUNTIME_DIR_BYTES = 60
"""Longest runtime directory used: with a socket's name it stays under the 107 bytes of an AF_UNIX path."""

CAN_RUN = sys.platform.startswith("linux")
"""Whether a runtime can run here. A client of a runtime elsewhere runs on every system."""

ADDRESS_HINT = "give the address of a runtime: `warmcell login URL`, or set WARMCELL_URL and WARMCELL_TOKEN"

_LOG_LINES = 15
_POLL_S = 0.02


@dataclass(frozen=True)
class Gateway:
    """A running gateway of this machine.

    Args:
        grpc: `host:port`.
        http: `http(s)://host:port`.
        unix: Path of its Unix socket.
        token: The user's bearer token.
        pid: Its process.
        start_ticks: When that started, in clock ticks since boot; a reused pid differs.
        https: The address for clients elsewhere, "" without TLS.
        ca: File with the certificate that its own TLS is known by, "" where it has none.
    """

    grpc: str
    http: str
    unix: str
    token: str = field(repr=False)
    pid: int
    start_ticks: int
    https: str = ""
    ca: str = ""


def find(home: Path) -> Gateway | None:
    """Return the gateway that runs on a state directory, or None.

    Raises:
        RuntimeUnavailable: It runs, but its files cannot be read by this user.
    """
    try:
        record = json.loads((home / "gateway.json").read_text())
        token = (home / "token").read_text().strip()
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
    except OSError as error:
        fail(f"the state directory {home} cannot be read: {error.strerror}", "set WARMCELL_HOME to your own")
    return _living(record, token)


def prepare(home: Path) -> None:
    """Make the state directory of a runtime that is to be started, for its owner alone.

    Raises:
        RuntimeUnavailable: It cannot be made, or no runtime can run on this system.
    """
    if not CAN_RUN:
        fail(f"the embedded runtime needs Linux, and this is {sys.platform}", ADDRESS_HINT)
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        fail(f"the state directory {home} cannot be made: {error.strerror}", "set WARMCELL_HOME to another")


def runtime_dir(home: Path) -> Path:
    """Return the short directory for the sockets of a state directory, made for this user alone.

    Raises:
        RuntimeUnavailable: Somebody else made it first.
    """
    tag = hashlib.blake2b(os.fsencode(home), digest_size=5).hexdigest()
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    preferred = Path(base) / f"warmcell-{tag}"
    usable = os.path.isdir(base) and os.access(base, os.W_OK) and len(os.fsencode(preferred)) <= _RUNTIME_DIR_BYTES
    directory = preferred if usable else Path("/tmp") / f"warmcell-{os.getuid()}-{tag}"
    with suppress(FileExistsError):  # a file or a dangling link of that name is looked at below
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        fail(f"the directory {directory} is not yours alone", "remove it, or set XDG_RUNTIME_DIR")
    return directory


def start_ticks(pid: int) -> int | None:
    """Return when a living process started, in clock ticks since boot; None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def log_tail(home: Path, from_bytes: int = 0, line_count: int = _LOG_LINES) -> str:
    """Return the last lines of the gateway's log, of those behind an offset."""
    try:
        with open(home / "gateway.log", "rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(from_bytes, end - 64 * 1024))
            text = log.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-line_count:])


def wait_gone(gateway: Gateway, timeout_s: float = 20.0) -> bool:
    """Wait until a gateway's process has ended; it need not be ours, so it is asked for, again and again."""
    deadline = time.monotonic() + timeout_s
    while (alive := start_ticks(gateway.pid) == gateway.start_ticks) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return not alive


def kill(gateway: Gateway) -> None:
    """End a gateway that does not answer; its workers end by themselves when their leases run out."""
    if start_ticks(gateway.pid) == gateway.start_ticks:
        with suppress(ProcessLookupError):
            os.kill(gateway.pid, signal.SIGKILL)
    wait_gone(gateway)


def tidy(gateway: Gateway) -> None:
    """Remove the socket directory of a gateway that has ended, if nothing is left in it."""
    with suppress(OSError):
        Path(gateway.unix).parent.rmdir()


def _living(record: Any, token: str) -> Gateway | None:
    try:
        must = [record[name] for name in ("grpc", "http", "unix")], [record["pid"], record["start_ticks"]]
        found = Gateway(*must[0], token, *must[1], record.get("https", ""), record.get("ca", ""))
    except (KeyError, TypeError):
        return None  # written by another version, or by somebody else
    return found if start_ticks(found.pid) == found.start_ticks else None


def fail(message: str, hint: str) -> NoReturn:
    """Raise what everything here raises.

    Raises:
        RuntimeUnavailable: Always.
    """
    raise RuntimeUnavailable(message, hint)
