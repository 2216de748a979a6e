"""What the gateway keeps in its state directory, for its clients and for the next gateway.

    lock            held while a gateway serves the directory
    token           the user's bearer token, readable by the owner alone
    gateway.json    where this gateway is, there only while it is ready
    store.db        sessions, workers, queue, runs and usage: see `store`
    place           where this directory is; another path in it means that it was copied

`sessions` holds the working directories, see `directories`.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

from remote_runtime.engines import pids, records
from remote_runtime.gateway import tokens
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.versions import VERSION

ALREADY_SERVED = 3
"""Exit code of a gateway whose state directory has one already."""


class StateDirectory:
    """The files of one state directory.

    Args:
        path: The directory; made by `lock` where it is absent.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @property
    def store(self) -> Path:
        """The file of the store."""
        return self.path / "store.db"

    def lock(self) -> None:
        """Take the directory for this process, until it ends.

        Raises:
            Failed: code "busy", when another gateway serves it.
        """
        records.private_directory(self.path)
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

    def is_copy(self) -> bool:
        """Tell whether it was copied here since a gateway served it; from now on it belongs here."""
        place, here = self.path / "place", str(self.path.resolve())
        try:
            before = place.read_text().strip()
        except FileNotFoundError:
            before = here
        records.write_text(place, f"{here}\n")
        return before != here

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
        made = tokens.fresh()
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
