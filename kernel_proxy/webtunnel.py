"""The way to a runtime through one HTTPS port: a socket here, and a websocket for each connection to it.

    gRPC -> socket here -> accepted -> websocket (TLS, proxies) -> the runtime's HTTP face -> its gRPC face

The door to the websockets library. The first websocket is opened before gRPC asks for it, so that what stands in the
way is told in words.
"""

from __future__ import annotations

import itertools
import os
import socket
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from kernel_proxy import outside, statedir
from kernel_proxy.discovery import refused, route
from kernel_proxy.errors import RuntimeUnavailable, WarmcellError
from kernel_proxy.settings import Settings

PATH = "/v1/tunnel"
PIECE_BYTES = 256 * 1024
OPEN_S = 10.0
PING_S, PONG_S = 20.0, 60.0
"""How often a silent connection is kept alive, as proxies end those that are silent for a minute; how long it may
take to answer, behind all that is on its way."""

_WHY_NOT = (OSError, WebSocketException)
_count = itertools.count()


class WebTunnel:
    """The way through one HTTPS port.

    Args:
        settings: Their `url` names it, their `token` is shown.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._listening: socket.socket | None = None
        self._ready: list[tuple[ClientConnection, ExitStack]] = []
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._path = ""

    def open(self) -> str:
        """Return where gRPC reaches the runtime; a first websocket is open then.

        Raises:
            Unauthorized: The runtime does not accept the token.
            RuntimeUnavailable: No websocket gets through.
        """
        opened = self._websocket()
        with self._lock:
            stale, self._ready = self._ready, [opened]
            if self._listening is None:
                self._listening = self._listen()
                threading.Thread(target=self._accept, args=(self._listening,), name="warmcell-web", daemon=True).start()
        for _, stack in stale:
            stack.close()
        if self._path:
            return f"unix:{self._path}"
        host, port = self._listening.getsockname()[:2]
        return f"{host}:{port}"

    def close(self) -> None:
        """Take no more connections, but in a forked child; those that are open end with their channels."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            listening, self._listening = self._listening, None
            stale, self._ready = self._ready, []
        for _, stack in stale:
            stack.close()
        if listening is not None:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
            listening.close()
        if self._path:
            Path(self._path).unlink(missing_ok=True)

    def _listen(self) -> socket.socket:
        if not (hasattr(socket, "AF_UNIX") and hasattr(os, "getuid")):
            return socket.create_server(("127.0.0.1", 0))
        directory = statedir.runtime_dir(self._settings.home)
        self._path = str(directory / f"w{os.getpid()}-{next(_count)}.sock")
        Path(self._path).unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(self._path)
        listening.listen(16)
        return listening

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):  # closed
            while True:
                near, _ = listening.accept()
                threading.Thread(target=self._serve, args=(near,), name="warmcell-web-up", daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        """Carry one connection to its end; where no websocket can be had it just ends, and is asked for again."""
        with near, suppress(WarmcellError), ExitStack() as stack:
            far, held = self._taken()
            stack.enter_context(held)
            down = threading.Thread(target=_down, args=(far, near), name="warmcell-web-down", daemon=True)
            down.start()
            _up(near, far)
            far.close()
            down.join()

    def _taken(self) -> tuple[ClientConnection, ExitStack]:
        with self._lock:
            if self._ready:
                return self._ready.pop()
        return self._websocket()

    def _websocket(self) -> tuple[ClientConnection, ExitStack]:
        settings, stack = self._settings, ExitStack()
        url = route(settings.url, PATH)
        secure = url.startswith("https:")
        how: dict[str, Any] = {"ssl": outside.tls(settings)} if secure else {}
        try:
            opened = stack.enter_context(
                connect(
                    f"ws{url[4:]}",
                    additional_headers={"Authorization": f"Bearer {settings.token}"},
                    proxy=outside.proxy_for(url),
                    compression=None,
                    max_size=None,
                    open_timeout=OPEN_S,
                    ping_interval=PING_S,
                    ping_timeout=PONG_S,
                    close_timeout=1.0,
                    **how,
                )
            )
        except InvalidStatus as error:
            raise _closed_door(settings, error.response.status_code) from None
        except _WHY_NOT as error:
            raise _no_way(settings, str(error) or type(error).__name__, isinstance(error, InvalidHandshake)) from None
        return opened, stack


def _up(near: socket.socket, far: ClientConnection) -> None:
    with suppress(*_WHY_NOT):
        while piece := near.recv(PIECE_BYTES):
            far.send(piece)


def _down(far: ClientConnection, near: socket.socket) -> None:
    with suppress(*_WHY_NOT):
        for piece in far:
            near.sendall(piece)  # type: ignore[arg-type]
    with suppress(OSError):
        near.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads it


def _closed_door(settings: Settings, status: int) -> WarmcellError:
    if status in (401, 403):
        return refused(settings, status)
    return _no_way(settings, f"HTTP status {status}", True)


def _no_way(settings: Settings, why: str, is_answered: bool) -> RuntimeUnavailable:
    if is_answered:
        return RuntimeUnavailable(
            f"what stands before {settings.place} lets no websocket through: {why}",
            f"let it pass `Upgrade` and `Connection` for {urlsplit(route(settings.place, PATH)).path}, "
            "or make the runtime's gRPC port reachable",
        )
    return RuntimeUnavailable(f"{settings.place} cannot be reached by websocket: {why}", "check the network")
