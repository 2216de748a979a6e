"""A client that speaks raw frames to a keeper over its lane."""

from __future__ import annotations

import itertools
import queue
import socket
import threading
from contextlib import suppress

from remote_runtime.wire import frames
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.lane import Laden, path_of, send_laden, short
from tests.sockets import received
from tests.worker.keeper.link import Link


class LaneLink(Link):
    """As `Link`, over the lane beside a keeper's socket."""

    def __init__(self, path: str) -> None:
        self.out: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.assembler: frames.Assembler[pb.FromWorker] = frames.Assembler(pb.FromWorker)
        self.welcome = pb.Welcome()
        self._ids = itertools.count(1)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with short(path_of(path)) as name:
                self.sock.connect(name)
        except OSError:
            self.sock.close()
            raise
        self.frames = received(self.sock)  # type: ignore[assignment]
        self._sender = threading.Thread(target=self._send_all)
        self._sender.start()

    def _send_all(self) -> None:
        with suppress(OSError):
            for frame in iter(self.out.get, None):
                if isinstance(frame, Laden):
                    send_laden(self.sock, frame)
                else:
                    self.sock.sendall(frames.framed(frame))

    def close(self) -> None:
        self.out.put(None)
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self._sender.join(10)
        self.sock.close()
