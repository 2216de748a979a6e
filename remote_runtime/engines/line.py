"""A line to a zygote that somebody else has started: dialled when it listens, one keeper ordered, its end heard.

    dial(path) -> Line.order(message) -> "started" or "refused"          the zygote's process ends -> on_end, once

The line stands while the process at its other end lives, so its end is heard at once, whatever else is out of order.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from remote_runtime.engines import pids
from remote_runtime.wire import forking, lane
from remote_runtime.wire.failures import Failed


class Line:
    """A connection to a zygote.

    Args:
        sock: Connected.
        on_end: Called on the loop when the other end is gone; never after `close`.

    Attributes:
        mark: The process at the other end.
        is_over: Whether that process has ended.
    """

    def __init__(self, sock: socket.socket, on_end: Callable[[], None]) -> None:
        self._sock, self._on_end = sock, on_end
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[Mapping[str, Any]] = self._loop.create_future()
        self.is_over = False
        self.mark = pids.mark(_peer_pid(sock))
        sock.setblocking(False)
        self._loop.add_reader(sock, self._hear)

    async def order(self, message: Mapping[str, Any]) -> None:
        """Have the zygote start its keeper.

        Args:
            message: See `forking`, without its "op".

        Raises:
            Failed: It refused, or ended before it answered.
        """
        try:
            forking.send(self._sock, {"op": "keeper", **message})
        except OSError as error:
            text = f"the worker cannot be told to start: {error}"
            raise Failed("unavailable", text, "see `warmcell logs`") from error
        answer = await self._answer
        if answer.get("op") != "started":
            raise Failed("unavailable", f"the worker did not start: {answer.get('message', 'its process ended')}",
                         "see `warmcell logs`")  # fmt: skip

    def close(self) -> None:
        """Let go; called again it changes nothing."""
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._sock.close()

    def _hear(self) -> None:
        try:
            heard = forking.receive(self._sock)
        except (BlockingIOError, ValueError):
            return
        except OSError:
            heard = None
        if heard is None:
            self.is_over = True
            self.close()
            self._told({})
            self._on_end()
        elif heard[0].get("op") in ("started", "refused"):
            self._told(heard[0])

    def _told(self, answer: Mapping[str, Any]) -> None:
        if not self._answer.done():
            self._answer.set_result(answer)


def dial(path: Path) -> socket.socket | None:
    """Connect to a zygote, None where nobody listens yet."""
    return _connected(path, socket.SOCK_SEQPACKET)


def listens(path: Path) -> bool:
    """Tell whether somebody listens on a stream socket."""
    found = _connected(path, socket.SOCK_STREAM)
    if found is not None:
        found.close()
    return found is not None


def _connected(path: Path, kind: socket.SocketKind) -> socket.socket | None:
    """Connect to a socket; a link of its name, which only the worker's code could have put there, is none."""
    if path.is_symlink():
        return None
    sock = socket.socket(socket.AF_UNIX, kind)
    with suppress(OSError), lane.short(str(path)) as name:
        sock.connect(name)
        return sock
    sock.close()
    return None


def _peer_pid(sock: socket.socket) -> int:
    """Return the pid at the other end as this side's system numbers it, also where that is a container."""
    return struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
