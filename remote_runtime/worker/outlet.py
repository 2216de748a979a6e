"""A non-blocking socket with what it could not take yet.

    frames --write--> socket, at once while it takes them
    what it did not take --> backlog --when it is writable--> socket

Whoever fills the backlog asks `full` and waits for `room` before it takes more from its own source.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque

from remote_runtime.wire import limits

HIGH_BYTES = 4 * limits.MIB
"""A longer backlog stops its source: enough to keep the other side busy, little enough to hold for many."""

_PARTS_AT_ONCE = 64


class Outlet:
    """The writing half of a socket.

    Args:
        sock: Connected and non-blocking; stays its owner's.
        loop: Where the rest is written.
    """

    def __init__(self, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._sock, self._loop = sock, loop
        self._backlog: deque[memoryview] = deque()
        self._waiting: list[asyncio.Future[None]] = []
        self._closed = False
        self.backlog_bytes = 0

    @property
    def full(self) -> bool:
        """Whether the source should wait for `room`."""
        return self.backlog_bytes > HIGH_BYTES

    def write(self, *parts: bytes | memoryview) -> None:
        """Write parts behind each other; what the socket does not take now follows later. Never blocks."""
        if self._closed:
            return
        idle = not self._backlog
        for part in parts:
            self._backlog.append(memoryview(part))
            self.backlog_bytes += len(part)
        if idle:
            self._flush()
            if self._backlog:
                self._loop.add_writer(self._sock, self._flush)

    async def room(self) -> None:
        """Wait until the backlog is short again or the socket is gone."""
        while self.full and not self._closed:
            waiter = self._loop.create_future()
            self._waiting.append(waiter)
            await waiter

    def close(self) -> None:
        """Drop the backlog and let everyone go who waits; the socket itself stays open."""
        if not self._closed:
            self._closed = True
            self._loop.remove_writer(self._sock)
            self._backlog.clear()
            self.backlog_bytes = 0
            self._wake()

    def _flush(self) -> None:
        try:
            while self._backlog:
                self._took(
                    self._sock.sendmsg([self._backlog[i] for i in range(min(len(self._backlog), _PARTS_AT_ONCE))])
                )
        except BlockingIOError:
            self._wake()
            return
        except OSError:  # the peer is dead; its death is found and told by who watches it
            self.close()
            return
        self._loop.remove_writer(self._sock)
        self._wake()

    def _took(self, count: int) -> None:
        self.backlog_bytes -= count
        while count:
            part = self._backlog.popleft()
            if count < len(part):
                self._backlog.appendleft(part[count:])
                return
            count -= len(part)

    def _wake(self) -> None:
        if not self.full:
            waiting, self._waiting = self._waiting, []
            for waiter in waiting:
                if not waiter.done():
                    waiter.set_result(None)
