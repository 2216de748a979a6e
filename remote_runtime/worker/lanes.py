"""The keeper's lanes: clients of this host, each on a plain Unix stream socket beside the one that speaks gRPC.

    connect --hello--> Keeper.attach -> Client
    socket --frames--> Desk.take
    Client.outgoing --frames, while the socket takes them--> socket

Everything happens in callbacks of the loop: no task and no queue stands between a socket and the session. Only a
client that uploads more than the worker can hold waits in a task, and is not read meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from contextlib import suppress

from remote_runtime.wire import frames, lane, limits
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from remote_runtime.worker.client import GROUP_BYTES, Client
from remote_runtime.worker.keeper import Keeper
from remote_runtime.worker.outlet import Outlet

HELLO_S = 10.0
"""How long a connection may take to say hello."""

HELLO_BYTES = 1 * limits.MIB
"""Longest first frame: who has not shown a token may not fill the keeper's memory."""

_WAITING_MOST = 64

log = logging.getLogger(__name__)


class Lanes:
    """Takes connections.

    Args:
        keeper: Lets clients in.
        path: Where to listen.
    """

    def __init__(self, keeper: Keeper, path: str) -> None:
        self._keeper, self._path = keeper, path
        self._loop = asyncio.get_running_loop()
        self._listener: socket.socket | None = None
        self.open_lanes: set[Lane] = set()

    def open(self) -> None:
        """Listen; where that cannot be done, clients find no lane and use gRPC."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with lane.short(self._path) as name:
                listener.bind(name)
                os.chmod(name, 0o600)
            listener.listen(_WAITING_MOST)
        except OSError as error:
            log.warning("there is no lane at %s: %s", self._path, error)
            listener.close()
            return
        listener.setblocking(False)
        self._listener = listener
        self._loop.add_reader(listener, self._accept)

    async def close(self, flush_s: float) -> None:
        """Stop listening, and wait a little until clients that were told to leave have what is theirs."""
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            with suppress(OSError):
                os.unlink(self._path)
        deadline = self._loop.time() + flush_s
        while self.open_lanes and self._loop.time() < deadline:
            await asyncio.sleep(0.005)
        for left in list(self.open_lanes):
            left.close()

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            sock, _ = self._listener.accept()
        except OSError as error:  # it has gone again, or no descriptor is left: later ones may do better
            log.info("a lane was not accepted: %s", error)
            return
        sock.setblocking(False)
        self.open_lanes.add(Lane(sock, self._keeper, self.open_lanes))


class Lane:
    """One connection.

    Args:
        sock: Connected, non-blocking; the lane's own from now on.
        keeper: Lets its client in.
        among: The open lanes; it leaves them when it closes.
    """

    def __init__(self, sock: socket.socket, keeper: Keeper, among: set[Lane]) -> None:
        self._sock, self._keeper, self._among = sock, keeper, among
        self._loop = asyncio.get_running_loop()
        self._reader = lane.LaneReader(HELLO_BYTES)
        self._outlet = Outlet(sock, self._loop)
        self._outlet.on_idle = self._pour
        self._client: Client | None = None
        self._closed = self._pouring = self._last = False
        self._waiting: asyncio.Task[None] | None = None
        self._patience = self._loop.call_later(HELLO_S, self.close)
        self._loop.add_reader(sock, self._read)

    def close(self) -> None:
        """Close the connection; the runs of its client go on."""
        if self._closed:
            return
        self._closed = True
        self._among.discard(self)
        self._patience.cancel()
        self._loop.remove_reader(self._sock)
        self._outlet.close()
        self._reader.close()
        self._sock.close()
        if self._waiting is not None:
            self._waiting.cancel()
        if self._client is not None:
            self._keeper.desk.leave(self._client)

    def _read(self) -> None:
        try:
            received = self._reader.receive(self._sock)
        except BlockingIOError:
            return
        except (OSError, EOFError):
            self.close()
            return
        except Failed as torn:
            self._refuse(torn)
            return
        for frame in received:
            self._take(frame)
        if self._client is not None and not self._closed and self._keeper.desk.full(self._client):
            self._loop.remove_reader(self._sock)
            self._waiting = self._loop.create_task(self._wait(self._client))

    async def _wait(self, client: Client) -> None:
        await self._keeper.desk.room(client)
        if not self._closed:
            self._loop.add_reader(self._sock, self._read)

    def _take(self, frame: bytes) -> None:
        if self._closed or self._last:
            return
        if self._client is not None:
            self._keeper.desk.take(self._client, frame)
            return
        try:
            client = self._keeper.attach(frame)
        except Failed as failed:
            self._refuse(failed)
            return
        self._patience.cancel()
        self._reader.limit_bytes = limits.FRAME_LIMIT_BYTES
        self._client, self._frames = client, client.outgoing()
        client.on_wake, client.takes_fds, client.groups = self._pour, True, False
        self._pour()

    def _refuse(self, failed: Failed) -> None:
        """Say why and close; nothing after this can be read, or shall be."""
        self._last = True
        self._loop.remove_reader(self._sock)
        self._outlet.write(refusal(failed))
        self._pour()

    def _pour(self) -> None:
        """Send what there is, as long as the socket takes it: a slow client holds no more than one portion."""
        if self._pouring or self._closed:
            return
        self._pouring = True
        try:
            while self._outlet.idle and not self._last and (portion := self._portion()):
                self._outlet.write(*portion)
        finally:
            self._pouring = False
        left = self._client is not None and self._client.gone.is_set()
        if left or self._outlet.closed or (self._last and self._outlet.idle):
            self._loop.call_soon(self.close)  # not here: whoever woke us is in the middle of something

    def _portion(self) -> list[bytes]:
        portion, size_bytes = [], 0
        for frame in self._frames:
            if frame is None:
                break
            portion.append(frame)
            size_bytes += len(frame)
            if size_bytes >= GROUP_BYTES:
                break
        else:
            self._last = True
        return portion


def refusal(failed: Failed) -> bytes:
    """Return the frame that tells a client why it is not let in."""
    found = pb.Failure(code=failed.code, message=failed.message, hint=failed.hint, detail=dict(failed.detail))
    return frames.control(pb.FromWorker(failure=found))
