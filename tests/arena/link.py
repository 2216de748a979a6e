"""Two ends of a socket pair that pass frames and descriptors, each with its arena and its reader."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from remote_runtime.wire import frames, payload
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.arena import Arena
from remote_runtime.wire.placement import place
from remote_runtime.wire.reader import Reader


class Link:
    """One end: `said` is the message class it sends, `heard` the one it receives."""

    def __init__(self, sock: socket.socket, said: type, heard: type, arena: Arena) -> None:
        self.sock, self.arena, self.reader = sock, arena, Reader()
        self._said = said
        self._assembler = frames.Assembler(heard, self.reader.view)
        self._splitter, self._fds, self._frames = frames.Splitter(), [], []
        self._count = 0
        self.sent_bytes = 0

    def send(self, message: pb.ToWorker | pb.FromWorker, bundle: payload.Bundle | None = None) -> list[pb.Block]:
        blocks = [] if bundle is None else place(bundle, self.arena)
        for freed in self.reader.freed():
            self._frame(frames.control(self._said(freed=freed)))
        for segment, fd in self.arena.news():
            self._frame(frames.control(self._said(segment=segment)), [] if fd is None else [fd])
        if bundle is None:
            self._frame(frames.control(message))
            return blocks
        header = message.run.bundle if isinstance(message, pb.ToWorker) else message.values.bundle
        self._count += 1
        follows = frames.announce(header, bundle, self._count, blocks)
        self._frame(frames.control(message))
        for frame in frames.data(bundle, self._count, blocks) if follows else ():
            self._frame(frame)
        return blocks

    def receive(self) -> frames.Whole | None:
        """Return the next message that is not about shared memory, None when the peer has gone."""
        while (frame := self._next()) is not None:
            whole = self._assembler.feed(frame)
            body = whole.message.WhichOneof("body") if whole is not None else ""
            if whole is None:
                continue
            if body == "segment":
                segment = whole.message.segment
                self.reader.add(segment, self._fds.pop(0) if segment.size_bytes else None)
            elif body == "freed":
                self.arena.free(whole.message.freed.blocks, whole.message.freed.abandoned)
            else:
                return whole
        return None

    def _frame(self, frame: bytes, fds: Sequence[int] = ()) -> None:
        framed = frames.framed(frame)
        self.sent_bytes += len(framed)
        socket.send_fds(self.sock, [framed[:1]], list(fds))
        self.sock.sendall(framed[1:])
        for fd in fds:
            socket.close(fd)

    def _next(self) -> bytes | None:
        while not self._frames:
            received, fds, _, _ = socket.recv_fds(self.sock, 1 << 18, 8)
            self._fds += fds
            if not received:
                return None
            self._frames += self._splitter.feed(received)
        return self._frames.pop(0)
