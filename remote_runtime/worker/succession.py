"""User processes, one after another: each is told the session's settings, watched for its memory, and
replaced.

spawn --> child --dies--> the next child, incarnation + 1
no zygote, or none comes to life --> stranded
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from remote_runtime.worker import endings
from remote_runtime.worker.child import Child, Listener
from remote_runtime.worker.nursery import Nursery

_FALSE_STARTS = 3
"""So many user processes in a row may die before they are ready."""

log = logging.getLogger(__name__)


class Succession:
    """The user process of a session, whichever it is just now.

    Args:
        nursery: Where user processes come from.
        listener: Hears from each of them.
        stranded: Called once, when there is no user process and there will be none.
    """

    def __init__(self, nursery: Nursery, listener: Listener, stranded: Callable[[], None]) -> None:
        self._nursery, self._listener, self._stranded = nursery, listener, stranded
        self._loop = asyncio.get_running_loop()
        self._settings: Mapping[str, Any] | None = None
        self._false_starts = 0
        self.child: Child | None = None
        self.is_stranded = self.closing = False
        self.incarnation = 1
        self.memory_limit_bytes = 0

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Tell this user process, and each that follows it, where and for whom it works."""
        self._settings = settings
        if self.child is not None:
            self.child.configure(settings)

    def spawn(self) -> None:
        """Ask for a user process; what is written to it before it is ready waits in its socket."""
        child = Child(self._loop, self._listener)
        try:
            born = self._false_starts < _FALSE_STARTS and self._nursery.spawn(child)
        except OSError as error:  # no descriptor left: `tick` tries again
            log.error("no user process can be started now: %s", error)
            return
        if not born:
            self._strand()
            return
        self.child = child
        if self._settings is not None:
            child.configure(self._settings)

    def ready(self) -> None:
        """Take the news that the user process waits for work."""
        self._false_starts = 0

    def died(self, by_itself: bool = True) -> None:
        """Take the news that the user process is dead, and ask for the next.

        Args:
            by_itself: False where somebody asked for it, who may well do so while it still imports.
        """
        self.child = None
        self.incarnation += 1
        self._false_starts += by_itself
        if not self.closing:
            self.spawn()

    def tick(self) -> None:
        """Look after memory, and after a user process that could not be started."""
        if self.child is None and not self.is_stranded and not self.closing:
            self.spawn()
        child, limit_bytes = self.child, self.memory_limit_bytes
        if child is None or child.footprint is None or self._settings is None:
            return
        if not limit_bytes:
            child.footprint.sample()
        elif child.footprint.exceeds(limit_bytes):
            child.kill(endings.MEMORY, limit_bytes)

    def close(self) -> None:
        """Kill the user process and start no other."""
        self.closing = True
        if self.child is not None:
            self.child.kill("cancelled")

    def _strand(self) -> None:
        if not self.is_stranded:
            self.is_stranded = True
            self._stranded()
