"""Plain Unix sockets of tests."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import suppress

from remote_runtime.wire.lane import LaneReader


def received(sock: socket.socket) -> Iterator[bytes]:
    """The frames of a lane until its end, waiting for each."""
    reader = LaneReader()
    with suppress(OSError, EOFError, ValueError):
        while True:
            select.select([sock], [], [])
            with suppress(BlockingIOError):
                yield from reader.receive(sock)
