"""How a thread waits for something that comes by a session's stream.

    wait(ready) -> lead: this thread reads the stream for everyone until it is there
                -> somebody reads already, or the stream cannot be led -> Bell.wait until it is rung

Who reads a stream itself is not woken by another thread, which is most of what a quick run would wait for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from kernel_proxy import waiting


class Leadable(Protocol):
    """A stream that the waiting thread may read."""

    def lead(self, ready: Callable[[], bool], deadline_s: float | None) -> bool:
        """Read for everyone until something is so; False where that is not this thread's to do."""

    def nudge(self) -> None:
        """Let who leads look again."""


class Bell:
    """Wakes the thread that waits for one thing. Ringing is safe in signal handlers and finalizers."""

    def __init__(self) -> None:
        self._silent = threading.Lock()
        self._silent.acquire()
        self._led: Leadable | None = None

    def ring(self) -> None:
        """Let the waiting thread look; a bell that rings already stays as it is."""
        with suppress(RuntimeError):
            self._silent.release()
        led = self._led
        if led is not None:
            led.nudge()

    def wait(
        self, ready: Callable[[], bool], stream: Callable[[], Leadable | None], timeout_s: float | None = None
    ) -> bool:
        """Wait until something is so. Ctrl-C ends it at any time, and loses nothing.

        Args:
            ready: Tells whether it is so; the bell is rung after each change.
            stream: Gives the stream on which it comes, None while there is none.
            timeout_s: Longest wait, None for no limit.

        Returns:
            Whether it is so.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not ready():
            if deadline_s is not None and time.monotonic() >= deadline_s:
                return False
            if not self._lead(ready, stream(), deadline_s):
                self._silent.acquire(timeout=_slice_s(deadline_s))
        return True

    def _lead(self, ready: Callable[[], bool], stream: Leadable | None, deadline_s: float | None) -> bool:
        if stream is None:
            return False
        self._led = stream
        try:
            return stream.lead(ready, deadline_s)
        finally:
            self._led = None


def _slice_s(deadline_s: float | None) -> float:
    """Return the longest wait in one piece; -1 for ever."""
    left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
    found = [wait_s for wait_s in (left_s, waiting.SLICE_S) if wait_s is not None]
    return min(found, default=-1)
