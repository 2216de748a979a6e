"""The stand-in worker on a plain Unix socket, as its gRPC server in `standin`."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path

from remote_runtime.wire.frames import framed
from tests.client.standin import Worker
from tests.sockets import received


class _Aborted(Exception):
    pass


class LaneServer:
    """Serves a worker over lanes, as a context manager."""

    def __init__(self, worker: Worker, path: Path) -> None:
        self._worker = worker
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> LaneServer:
        self._listener.listen()
        self._begin(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        for sock in (self._listener, *self._open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(25)
        self._listener.close()

    def abort(self, *_: object) -> None:
        raise _Aborted

    def _begin(self, work: object, *args: object) -> None:
        self._threads.append(threading.Thread(target=work, args=args, daemon=True))  # type: ignore[arg-type]
        self._threads[-1].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self._open.append(sock)
                self._begin(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        with sock, suppress(OSError):
            with suppress(OSError, _Aborted):
                for frame in self._worker.attach(received(sock), self):  # type: ignore[arg-type]
                    sock.sendall(framed(frame))
            sock.shutdown(socket.SHUT_RDWR)  # closing alone is not seen while a thread waits for it
