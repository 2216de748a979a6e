"""Memory of a user process and of what it started, read from /proc.

    group leader's pid -> members of its process group -> resident bytes now, and the peak since the run began

Resident memory counts pages that forked processes share once for each of them. Where the sum passes the
limit, the proportional figure, which is exact and slow, decides.
"""

from __future__ import annotations

import os
from contextlib import suppress

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_REFRESH_TICKS = 4
_READ_BYTES = 8192
_RESET_PEAK = b"5"
"""Lets the system start a new peak; where it will not, the peak is the process's whole life's."""


class Footprint:
    """Memory of one process group.

    Args:
        leader: Its id, the pid of its first process.
    """

    def __init__(self, leader: int) -> None:
        self._leader = leader
        self._members: tuple[int, ...] = (leader,)
        self._ticks = 0
        self._peak: int | None = None
        self._status, self._statm = (_File(leader, name, os.O_RDONLY) for name in ("status", "statm"))
        self._clear = _File(leader, "clear_refs", os.O_WRONLY)

    def sample(self) -> int | None:
        """Read the group's resident memory, in bytes; None where it cannot be read."""
        if self._ticks % _REFRESH_TICKS == 0:
            self._members = members(self._leader)
        self._ticks += 1
        found = [size for pid in self._members if (size := resident_bytes(pid)) is not None]
        if not found:
            return None
        self._peak = max(self._peak or 0, sum(found))
        return sum(found)

    def exceeds(self, limit_bytes: int) -> bool:
        """Tell whether the group holds more than a limit."""
        now = self.sample()
        if now is None or now <= limit_bytes:
            return False
        if len(self._members) == 1:
            return True
        shares = [proportional_bytes(pid) or 0 for pid in self._members]
        return sum(shares) > limit_bytes

    def begin(self) -> None:
        """Start a new peak."""
        self._clear.write(_RESET_PEAK)
        self._peak = _resident(self._statm.read())

    def peak_bytes(self) -> int | None:
        """Return the peak since `begin`, None where nothing could be read."""
        found = [size for size in (self._peak, _kib_field(self._status.read(), b"VmHWM:")) if size is not None]
        return max(found, default=None)

    def close(self) -> None:
        """Close what was open for reading."""
        for file in (self._status, self._statm, self._clear):
            file.close()


class _File:
    """A file of a process, opened once: it is read in the way of every run's end."""

    def __init__(self, pid: int, name: str, flags: int) -> None:
        try:
            self._fd = os.open(f"/proc/{pid}/{name}", flags | os.O_CLOEXEC)
        except OSError:
            self._fd = -1

    def read(self) -> bytes:
        """Return what it holds now, b"" where it cannot be read."""
        try:
            return os.pread(self._fd, _READ_BYTES, 0)
        except OSError:
            return b""

    def write(self, content: bytes) -> None:
        """Write to it; where that is not allowed, nothing happens."""
        with suppress(OSError):
            os.write(self._fd, content)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def members(group: int) -> tuple[int, ...]:
    """Return the pids of a process group."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and _group_of(name) == group:
            found.append(int(name))
    return tuple(found)


def _group_of(pid: str) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[2])
    except (OSError, IndexError, ValueError):
        return None


def resident_bytes(pid: int) -> int | None:
    """Return a process's resident memory, None where it cannot be read."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return _resident(file.read())
    except OSError:
        return None


def _resident(statm: bytes) -> int | None:
    try:
        return int(statm.split()[1]) * _PAGE_BYTES or None
    except (IndexError, ValueError):
        return None


def peak_bytes(pid: int) -> int | None:
    """Return the most memory a process has held, None where it cannot be read."""
    status = _File(pid, "status", os.O_RDONLY)
    try:
        return _kib_field(status.read(), b"VmHWM:")
    finally:
        status.close()


def proportional_bytes(pid: int) -> int | None:
    """Return a process's memory, shared pages divided among their users; None where it cannot be read."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            return _kib_field(file.read(), b"Pss:")
    except OSError:
        return None


def _kib_field(text: bytes, name: bytes) -> int | None:
    """Return a figure of a /proc file in bytes."""
    start = text.find(name)
    try:
        return int(text[start + len(name) :].split(None, 1)[0]) * 1024 if start >= 0 else None
    except (IndexError, ValueError):
        return None
