"""What the gateway keeps in its state directory, for its clients and for the next gateway.

    lock            held while a gateway serves the directory
    token           the user's bearer token, readable by the owner alone
    gateway.json    where this gateway is, there only while it is ready
    leases/ID.json  one session each: enough to find its worker again

A session's working directory is `sessions/ID`; it outlives the session.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from remote_runtime.engines import pids, records
from remote_runtime.engines.base import Device
from remote_runtime.wire import sources
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.versions import VERSION

ALREADY_SERVED = 3
"""Exit code of a gateway whose state directory has one already."""


@dataclass(frozen=True)
class SessionRecord:
    """A session as it is written down.

    Args:
        session_id: Of this life of the session.
        name: What users call it.
        notebook: Who opened it first.
        target: As it was asked for.
        token: What a client shows to the worker.
        worker_id: The worker that holds it.
        incarnation: At the claim.
        devices: That it holds.
        idle_s: Its policy; 0 means that it stays until somebody waits.
        opened_at: Seconds since the epoch.
    """

    session_id: str
    name: str
    notebook: str
    target: str
    token: str = field(repr=False)
    worker_id: str
    incarnation: int
    devices: tuple[Device, ...]
    idle_s: float = 0.0
    opened_at: float = 0.0


class StateDirectory:
    """The files of one state directory.

    Args:
        path: The directory; made by `lock` where it is absent.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def lock(self) -> None:
        """Take the directory for this process, until it ends.

        Raises:
            Failed: code "busy", when another gateway serves it.
        """
        records.private_directory(self.path)
        records.private_directory(self._leases)
        self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Failed("busy", f"another gateway serves {self.path}", "use that one, or another --state") from error

    def unlock(self) -> None:
        """Let go of the directory; the end of the process does the same."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def token(self) -> str:
        """Return the user's token, made when there is none yet.

        Raises:
            Failed: code "disk-full", when it cannot be written.
        """
        path = self.path / "token"
        try:
            found = path.read_text().strip()
        except FileNotFoundError:
            found = ""
        if found:
            path.chmod(0o600)
            return found
        made = secrets.token_urlsafe(32)
        records.write_text(path, made)
        return made

    def announce(self, where: Mapping[str, str]) -> None:
        """Tell clients where this gateway is.

        Args:
            where: "http", "grpc" and "unix".

        Raises:
            Failed: code "disk-full", when it cannot be written.
        """
        own = pids.mark(os.getpid())
        records.write(self.path / "gateway.json", {
            "pid": os.getpid(), "start_ticks": own.start_ticks if own else 0, **where,
            "version": VERSION, "started_at": time.time(),
        })  # fmt: skip

    def withdraw(self) -> None:
        """Tell clients that there is no gateway any more."""
        records.remove(self.path / "gateway.json")

    def session_directory(self, session_id: str) -> Path:
        """Return a session's working directory, made when it is absent.

        Raises:
            Failed: code "disk-full", when there is no room for it.
        """
        records.private_directory(self.path / "sessions")
        return records.private_directory(self.path / "sessions" / session_id)

    @property
    def _leases(self) -> Path:
        return self.path / "leases"

    def write_session(self, record: SessionRecord) -> None:
        """Write a session down.

        Raises:
            Failed: code "disk-full", when it cannot be written.
        """
        records.write(self._leases / f"{record.session_id}.json", asdict(record))

    def remove_session(self, session_id: str) -> None:
        """Forget a session, and its working directory where nothing lies in it."""
        records.remove(self._leases / f"{session_id}.json")
        with suppress(OSError):
            directory = self.path / "sessions" / session_id
            shutil.rmtree(directory / sources.FOLDER, ignore_errors=True)
            directory.rmdir()

    def sessions(self) -> list[SessionRecord]:
        """Return the sessions that an earlier gateway wrote down; damaged records are removed."""
        found = []
        for session_id, content in records.read_all(self._leases).items():
            try:
                found.append(_session(content))
            except (TypeError, KeyError):
                self.remove_session(session_id)
        return found


def _session(content: dict[str, Any]) -> SessionRecord:
    devices = tuple(Device(**device) for device in content.pop("devices"))
    return SessionRecord(**content, devices=devices)


def tell_ready(ready_fd: int | None, where: Mapping[str, str]) -> None:
    """Write one line of JSON to the descriptor of whoever waits, and close it."""
    if ready_fd is None:
        return
    try:
        os.write(ready_fd, (json.dumps(dict(where)) + "\n").encode())
    except BrokenPipeError:
        pass  # whoever waited is gone; the gateway serves the next one
    finally:
        os.close(ready_fd)
