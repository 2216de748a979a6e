"""Processes of this machine, told apart by pid and start time, so that a reused pid is never taken for ours.

pid --/proc--> Mark(pid, start_ticks) --(later)--> alive? --> signal
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_POLL_S = 0.05


@dataclass(frozen=True)
class Mark:
    """One process, for good.

    Args:
        pid: Its id, which the system may give away again.
        start_ticks: Its start, in clock ticks since boot.
    """

    pid: int
    start_ticks: int

    @property
    def alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        return _stat(self.pid) == (self.start_ticks, True)

    def send(self, number: signal.Signals) -> bool:
        """Send a signal.

        Returns:
            False where the process is gone.
        """
        if not self.alive:
            return False
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
            return True
        return False


def mark(pid: int) -> Mark | None:
    """Return the mark of a running process, or None where there is none."""
    found = _stat(pid)
    return Mark(pid, found[0]) if found is not None and found[1] else None


def name_of(pid: int) -> str:
    """Return "pid 4711 (python)", or "pid 4711" where its name cannot be read."""
    try:
        return f"pid {pid} ({Path(f'/proc/{pid}/comm').read_text().strip()})"
    except OSError:
        return f"pid {pid}"


def descends(pid: int, ancestor: int) -> bool:
    """Tell whether a process is another one or descends from it."""
    while pid > 1 and pid != ancestor:
        pid = _parent(pid)
    return pid == ancestor


async def ended(process: Mark, timeout_s: float) -> bool:
    """Wait for a process to end.

    Args:
        process: Need not be a child.
        timeout_s: Longest wait.

    Returns:
        Whether it is gone.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while process.alive:
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(_POLL_S)
    return True


def on_end(process: Mark, loop: asyncio.AbstractEventLoop, told: Callable[[], None]) -> Callable[[], None]:
    """Call back once when a process ends, child or not.

    Args:
        process: Whose end.
        loop: Where `told` runs.
        told: Called once, on the loop.

    Returns:
        A function that stops the watching; calling it again changes nothing.
    """
    watch = _Watch(process, loop, told)
    watch.start()
    return watch.stop


class _Watch:
    """Watches one process by a pidfd, or by asking again where the kernel has none."""

    def __init__(self, process: Mark, loop: asyncio.AbstractEventLoop, told: Callable[[], None]) -> None:
        self._process, self._loop, self._told = process, loop, told
        self._fd: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        with suppress(OSError, AttributeError):
            self._fd = os.pidfd_open(self._process.pid)
            self._loop.add_reader(self._fd, self._end)
        if self._fd is None or not self._process.alive:
            self._ask()

    def _ask(self) -> None:
        if self._process.alive:
            self._timer = self._loop.call_later(_POLL_S, self._ask)
        else:
            self._timer = self._loop.call_later(0, self._end)

    def _end(self) -> None:
        self.stop()
        self._told()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._fd is not None:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
        self._fd = self._timer = None


def _stat(pid: int) -> tuple[int, bool] | None:
    """Return a process's start and whether it still runs, or None where there is none."""
    fields = _fields(pid)
    return (int(fields[19]), fields[0] not in ("Z", "X")) if fields else None


def _parent(pid: int) -> int:
    fields = _fields(pid)
    return int(fields[1]) if fields else 0


def _fields(pid: int) -> list[str]:
    """Return /proc/PID/stat from the state on; the name before it may hold spaces and brackets."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
