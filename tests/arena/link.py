"""Two ends of a socket pair that pass frames and descriptors, each with its arena and its reader."""

from __future__ import annotations

import os
import socket

from remote_runtime.wire import frames, payload
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.arena import Arena
from remote_runtime.wire.sharing import Sharing


class Link:
    """One end: `said` is the message class it sends, `heard` the one it receives."""

    def __init__(self, sock: socket.socket, said: type, heard: type, arena: Arena) -> None:
        self.sock, self.arena = sock, arena
        self.sharing = Sharing(said, self._post, arena)
        self.reader = self.sharing.reader
        self._assembler = frames.Assembler(heard, self.sharing.view)
        self._splitter, self._fds, self._frames = frames.Splitter(), [], []
        self._count = 0
        self.sent_bytes = 0

    def send(self, message: pb.ToWorker | pb.FromWorker, bundle: payload.Bundle | None = None) -> list[pb.Block]:
        if bundle is None:
            self.sharing.report()
            self._post(message)
            return []
        self.sharing.report()
        blocks = self.sharing.place(bundle)
        header = message.run.bundle if isinstance(message, pb.ToWorker) else message.values.bundle
        self._count += 1
        follows = frames.announce(header, bundle, self._count, blocks)
        self._post(message)
        for frame in frames.data(bundle, self._count, blocks) if follows else ():
            self._frame(frame)
        return blocks

    def receive(self) -> frames.Whole | None:
        """Return the next message that is not about shared memory, None when the peer has gone."""
        while (frame := self._next()) is not None:
            whole = self._assembler.feed(frame)
            if whole is None:
                continue
            fd = self._fds.pop(0) if whole.message.segment.size_bytes else None
            if not self.sharing.take(whole.message, fd):
                return whole
        return None

    def _post(self, message: pb.ToWorker | pb.FromWorker, fd: int | None = None) -> None:
        self._frame(frames.control(message), fd)

    def _frame(self, frame: bytes, fd: int | None = None) -> None:
        framed = frames.framed(frame)
        self.sent_bytes += len(framed)
        socket.send_fds(self.sock, [framed[:1]], [] if fd is None else [fd])
        self.sock.sendall(framed[1:])
        if fd is not None:
            os.close(fd)

    def _next(self) -> bytes | None:
        while not self._frames:
            received, fds, _, _ = socket.recv_fds(self.sock, 1 << 18, 8)
            self._fds += fds
            if not received:
                return None
            self._frames += self._splitter.feed(received)
        return self._frames.pop(0)
