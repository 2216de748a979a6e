"""What a Docker engine tells by itself, read by a thread and handed to the loop; asked for again when it breaks off.

    engine --(action, worker id)--> thread --> loop --> told               broken, there again --> again
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from remote_runtime.engines.docker_door import Door
from remote_runtime.wire.failures import Failed

RETRY_S = 0.5
"""Between two attempts to reach an engine that does not answer."""

_log = logging.getLogger(__name__)


class Events:
    """Follows an engine's events for as long as it is not stopped.

    Args:
        door: To the engine.
        told: Called on the loop with action and worker id.
        again: Called on the loop whenever the engine is there after it was not: something may have been missed.
    """

    def __init__(self, door: Door, told: Callable[[str, str], None], again: Callable[[], None]) -> None:
        self._door, self._told, self._again = door, told, again
        self._loop = asyncio.get_running_loop()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="docker-events", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for the thread."""
        self._stopped.set()
        self._door.hush()
        self._thread.join(timeout=5)

    def _follow(self) -> None:
        begun: Callable[[], object] = lambda: None  # noqa: E731 - the first time there is nothing to catch up with
        while not self._stopped.is_set():
            try:
                for event in self._door.events(begun):
                    self._on_loop(self._told, *event)
            except Failed as failure:
                if not self._stopped.is_set():
                    _log.warning("%s", failure.message)
            begun = self._back
            self._stopped.wait(RETRY_S)

    def _back(self) -> None:
        self._on_loop(self._again)

    def _on_loop(self, call: Callable[..., Any], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop has ended, and nobody wants to know any more
            self._loop.call_soon_threadsafe(call, *arguments)
