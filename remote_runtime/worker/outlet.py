"""A non-blocking socket with what it could not take yet.

    frames --write--> backlog --at once while it takes them--> socket
                              --when it is writable----------> socket

Whoever fills the backlog asks `full` and waits for `room` before it takes more from its own source.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from remote_runtime.wire import limits
from remote_runtime.wire.lane import Backlog

HIGH_BYTES = 4 * limits.MIB
"""A longer backlog stops its source: enough to keep the other side busy, little enough to hold for many."""


class Outlet:
    """The writing half of a socket.

    Args:
        sock: Connected and non-blocking; stays its owner's.
        loop: Where the rest is written.

    Attributes:
        closed: Whether the socket is gone, or given up.
        on_idle: Called when the socket has taken what it could not take at once, or is gone.
    """

    def __init__(self, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._sock, self._loop = sock, loop
        self._backlog = Backlog()
        self._waiting: list[asyncio.Future[None]] = []
        self.closed = False
        self.on_idle: Callable[[], None] = lambda: None

    @property
    def full(self) -> bool:
        """Whether the source should wait for `room`."""
        return self._backlog.size_bytes > HIGH_BYTES

    @property
    def idle(self) -> bool:
        """Whether the socket has taken everything."""
        return not self._backlog and not self.closed

    def write(self, *found: bytes) -> None:
        """Write frames behind each other; what the socket does not take now follows later. Never blocks."""
        idle = not self._backlog
        for frame in () if self.closed else found:
            self._backlog.add(frame)
        if idle:
            self._begin()

    def write_parts(self, *parts: bytes | memoryview) -> None:
        """Write parts of a frame that has its length before it."""
        idle = not self._backlog
        self._backlog.add_parts(*(() if self.closed else parts))
        if idle:
            self._begin()

    async def room(self) -> None:
        """Wait until the backlog is short again or the socket is gone."""
        while self.full and not self.closed:
            waiter = self._loop.create_future()
            self._waiting.append(waiter)
            await waiter

    def close(self) -> None:
        """Drop the backlog and let everyone go who waits; the socket itself stays open."""
        if not self.closed:
            self.closed = True
            self._loop.remove_writer(self._sock)
            self._backlog.clear()
            self._wake()

    def _begin(self) -> None:
        if self._backlog and not self._send() and not self.closed:
            self._loop.add_writer(self._sock, self._go_on)

    def _go_on(self) -> None:
        if self._send():
            self._loop.remove_writer(self._sock)
        self._wake()

    def _send(self) -> bool:
        """Tell whether the socket has taken everything, or is gone."""
        try:
            return self._backlog.send(self._sock)
        except OSError:  # the peer is dead; its death is found and told by who watches it
            self.close()
            return False

    def _wake(self) -> None:
        if not self._backlog:
            self.on_idle()
        if not self.full:
            waiting, self._waiting = self._waiting, []
            for waiter in waiting:
                if not waiter.done():
                    waiter.set_result(None)
