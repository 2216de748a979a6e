"""The gateway's HTTP face: where everything is, and how it stands, as JSON.

    GET /healthz      ok, for anybody
    GET /v1/runtime   versions and addresses: a client that knows this URL finds gRPC here
    GET /v1/status    devices, sessions, runs
    WS  /v1/tunnel    the gRPC face, through whatever passes websockets

Every route but /healthz needs the token, those that do not exist too.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import Any

import uvicorn
from google.protobuf.message import Message
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from remote_runtime.gateway import tunnel
from remote_runtime.gateway.config import Config
from remote_runtime.gateway.gateway import Gateway
from remote_runtime.gateway.users import Users
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed

OPEN = ("/healthz",)
"""Paths that need no token."""

PONG_S = 60.0
"""How long a websocket may take to answer a ping, behind all that is on its way."""

_WILDCARDS = ("0.0.0.0", "::")


def as_json(message: Message) -> dict[str, Any]:
    """Return a message as plain values; an optional field that is absent is null."""
    return {field.name: _field(message, field) for field in message.DESCRIPTOR.fields}


def _field(message: Message, field: Any) -> Any:
    if field.has_presence and not message.HasField(field.name):
        return None
    value = getattr(message, field.name)
    if field.message_type is None:
        return list(value) if not isinstance(value, (str, int, float, bool)) else value
    if field.message_type.GetOptions().map_entry:
        return dict(value)
    return as_json(value) if isinstance(value, Message) else [as_json(item) for item in value]


class _Gate:
    """Lets requests through that show the token."""

    def __init__(self, app: ASGIApp, users: Users) -> None:
        self._app, self._users = app, users

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        shown = dict(scope.get("headers", ())).get(b"authorization", b"")
        if scope["type"] != "lifespan" and scope["path"] not in OPEN and self._users.name_of(shown) is None:
            refusal = JSONResponse({"code": "unauthorized", "message": "the token is missing or wrong"}, 401)
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)


class _Routes:
    """What is answered."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def table(self) -> list[BaseRoute]:
        return [
            Route("/healthz", self.health),
            Route("/v1/runtime", self.runtime),
            Route("/v1/status", self.status),
            WebSocketRoute(tunnel.PATH, self.tunnel),
        ]

    async def health(self, _request: Request) -> Response:
        return PlainTextResponse("ok")

    async def runtime(self, request: Request) -> Response:
        with self._gateway.call():
            info = as_json(await self._gateway.describe(pb.DescribeRequest()))
        answer = {key: info[key] for key in ("versions", "engine", "http", "grpc", "unix", "pid", "idle_exit_s")}
        host = request.url.hostname or ""
        for key in ("http", "grpc"):
            answer[key] = _reachable(answer[key], host)
        return JSONResponse(answer)

    async def status(self, _request: Request) -> Response:
        with self._gateway.call():
            info = as_json(await self._gateway.describe(pb.DescribeRequest()))
        runs = [run for session in info["sessions"] for run in session["runs"]]
        return JSONResponse(
            {"pid": os.getpid(), "devices": info["devices"], "sessions": info["sessions"], "runs": runs}
        )


    async def tunnel(self, websocket: WebSocket) -> None:
        await websocket.accept()
        with suppress(WebSocketDisconnect, OSError):
            await tunnel.carry(self._gateway.config.unix, partial(_piece, websocket), websocket.send_bytes)
            await websocket.close()


async def _piece(websocket: WebSocket) -> bytes | None:
    try:
        return await websocket.receive_bytes()
    except (WebSocketDisconnect, KeyError):  # it has ended, or speaks text
        return None


def _reachable(address: str, host: str) -> str:
    """Return an address with the host by which this client came, where the gateway listens on all of them."""
    for wildcard in _WILDCARDS:
        shown = f"[{wildcard}]" if ":" in wildcard else wildcard
        address = address.replace(f"{shown}:", f"{host}:")
    return address


def _websockets(**how: Any) -> asyncio.Protocol:
    """Make what speaks websockets on a connection; loaded with the first, as most gateways never need it."""
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

    return WebSocketsSansIOProtocol(**how)


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the gateway has its own."""

    def capture_signals(self) -> AbstractContextManager[None]:
        return nullcontext()


class HttpFace:
    """Serves a gateway over HTTP.

    Args:
        gateway: What is served.
        users: Who may ask.
    """

    def __init__(self, gateway: Gateway, users: Users) -> None:
        self.routes = _Routes(gateway).table()
        self._app = _Gate(Starlette(routes=self.routes), users)
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self, config: Config) -> int:
        """Listen, and return the port.

        Raises:
            Failed: code "unavailable", when the address is taken.
        """
        listening = _listen(config)
        self._server = _Server(
            uvicorn.Config(
                self._app,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws=_websockets,  # type: ignore[arg-type]  # uvicorn only calls it
                ws_max_size=4 * tunnel.PIECE_BYTES,
                ws_per_message_deflate=False,
                ws_ping_timeout=PONG_S,
                server_header=False,
                ssl_certfile=config.tls_cert or None,
                ssl_keyfile=config.tls_key or None,
                timeout_graceful_shutdown=1,
            )
        )
        self._serving = asyncio.ensure_future(self._server.serve(sockets=[listening]))
        return listening.getsockname()[1]

    async def stop(self) -> None:
        """Take no more requests and finish those that go on."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await self._serving


def _listen(config: Config) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server((config.host.strip("[]"), config.http_port), family=family)
    except OSError as error:
        raise Failed(
            "unavailable",
            f"HTTP cannot listen on {config.host}:{config.http_port}: {error.strerror}",
            "choose another --http-port or --host",
        ) from error
