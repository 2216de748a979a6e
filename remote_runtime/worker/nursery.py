"""The keeper's end of its zygote: where user processes come from.

spawn(child) --user + descriptors--> zygote --started, pid--> child.started
                                            --exited-------> child.exited
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

from remote_runtime.wire import forking
from remote_runtime.worker.child import Child

log = logging.getLogger(__name__)


class Nursery:
    """Asks a zygote for user processes and passes its news on.

    Args:
        sock: Connected to the zygote.
        worker_id: Whose user processes they are.
        orphaned: Called when the engine that asked for this keeper has hung up.
    """

    def __init__(self, sock: socket.socket, worker_id: str, orphaned: Callable[[], None]) -> None:
        self._sock, self._worker_id, self._orphaned = sock, worker_id, orphaned
        self._asked: list[Child] = []
        self._alive: dict[int, Child] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def open(self) -> bool:
        """Whether the zygote is there."""
        return self._loop is not None

    def listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to take news."""
        self._sock.setblocking(False)
        self._loop = loop
        loop.add_reader(self._sock, self._hear)

    def spawn(self, child: Child) -> bool:
        """Ask for a user process; frames may be written to it at once.

        Returns:
            False where the zygote is gone.

        Raises:
            OSError: The system has no descriptor left.
        """
        if not self.open:
            return False
        fds = child.open()
        try:
            forking.send(self._sock, {"op": "user", "worker_id": self._worker_id}, fds)
        except OSError as error:
            log.error("the zygote cannot be asked for a user process: %s", error)
            self._lost()
            child.discard()
            return False
        finally:
            for fd in fds:
                os.close(fd)
        self._asked.append(child)
        return True

    def _hear(self) -> None:
        try:
            news = forking.receive(self._sock)
        except BlockingIOError:
            return
        if news is None:
            self._lost()
        else:
            self._take(*news)

    def _take(self, message: dict[str, Any], fds: list[int]) -> None:
        op = message.get("op")
        if op == "started":
            self._started(int(message["pid"]), fds)
        elif op == "exited" and (child := self._alive.pop(message["pid"], None)):
            child.exited(message["code"], message["signal"], message.get("peak_bytes"))
        elif op == "refused" and self._asked:
            log.error("the zygote refused a user process: %s", message.get("message"))
            self._asked.pop(0).abandon()
        elif op == "orphaned":
            self._orphaned()

    def _started(self, pid: int, fds: list[int]) -> None:
        child = self._asked.pop(0)
        self._alive[pid] = child
        child.started(pid, fds[0] if fds else None)

    def _lost(self) -> None:
        """Take it that the zygote is gone: what runs goes on, what was asked for will not come."""
        if self._loop is None:
            return
        self._loop.remove_reader(self._sock)
        self._loop = None
        log.error("the zygote is gone; no user process can be started any more")
        for child in self._asked:
            child.abandon()
        self._asked.clear()
