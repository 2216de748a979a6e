"""One lock per GPU for the whole machine, so that two users' runtimes never lease the same device.

    GPU ids --flock on <directory>/<id>--> held until the keeper ends, however it ends

The directory is open to all users and sticky; a lock file belongs to whoever made it first and is never
removed, because removing a locked file would let two holders lock two files of one name.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

DIRECTORY = Path("/tmp/warmcell-devices")

_HOLDER_BYTES = 200


class DeviceLocks:
    """The locks that one worker holds.

    Args:
        directory: Where the lock files are, the same for all users of a machine.
    """

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self._directory = directory
        self._held: list[int] = []

    def take(self, ids: Sequence[str], holder: str, shared: bool = False) -> str:
        """Lock devices, all or none; never waits.

        Args:
            ids: As NVML names them; none locks nothing.
            holder: Shown to whoever finds a device locked.
            shared: Whether others may hold them too that share as well.

        Returns:
            "" when all are locked, else which one is not and why.
        """
        taken: list[int] = []
        for device_id in sorted(ids):
            try:
                taken.append(self._lock(device_id, holder, fcntl.LOCK_SH if shared else fcntl.LOCK_EX))
            except BlockingIOError as held:
                _let_go(taken)
                return f"device {device_id} is held by {held.strerror}"
            except OSError as error:
                _let_go(taken)
                return f"device {device_id} cannot be locked in {self._directory}: {error.strerror or error}"
        self._held += taken
        return ""

    def release(self) -> None:
        """Let go of all of them."""
        _let_go(self._held)
        self._held = []

    def _lock(self, device_id: str, holder: str, how: int) -> int:
        self._make_directory()
        path = self._directory / re.sub(r"[^A-Za-z0-9._-]", "_", device_id)
        fd = _open(path)
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
        except BlockingIOError:
            found = os.pread(fd, _HOLDER_BYTES, 0).decode(errors="replace").strip() or "another runtime"
            os.close(fd)
            raise BlockingIOError(0, found) from None
        with suppress(OSError):  # who holds it is a courtesy; that it is held is the lock
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{holder}, pid {os.getpid()}, user {os.getuid()}".encode()[:_HOLDER_BYTES], 0)
        return fd

    def _make_directory(self) -> None:
        with suppress(FileExistsError):
            self._directory.mkdir()
            self._directory.chmod(0o1777)


def _open(path: Path) -> int:
    """Open a lock file, or make it.

    In a sticky directory Linux refuses O_CREAT on another user's file, so an existing one is opened without
    it.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    with suppress(FileNotFoundError):
        return os.open(path, flags)
    try:
        fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return os.open(path, flags)
    os.fchmod(fd, 0o666)  # whatever the umask says: other users must be able to lock it
    return fd


def _let_go(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
