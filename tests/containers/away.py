"""A way to the machine's Docker engine that a test can cut, without the engine or anybody else noticing."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path

ENGINE = "/var/run/docker.sock"


class Way:
    """Passes bytes between a socket of its own and the engine's, until it is cut.

    Args:
        path: Of its own socket; short.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listening: socket.socket | None = None
        self._open: set[socket.socket] = set()

    def mend(self) -> None:
        """Let the engine be reached."""
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self.path))
        self._listening.listen()
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def cut(self) -> None:
        """End every connection, and take no more."""
        self.path.unlink(missing_ok=True)
        for one in (self._listening, *tuple(self._open)):
            with suppress(OSError, AttributeError):
                one.shutdown(socket.SHUT_RDWR)
            with suppress(OSError, AttributeError):
                one.close()
        self._open.clear()

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listening.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(ENGINE)
                self._open |= {near, far}
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(65536):
                sink.sendall(chunk)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
