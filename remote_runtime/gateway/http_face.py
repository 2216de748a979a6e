"""The gateway's HTTP face: where everything is, and how it stands, as JSON.

    GET /healthz      ok, for anybody
    GET /v1/runtime   versions and addresses: a client that knows this URL finds gRPC here
    GET /v1/status    devices, sessions, runs
    WS  /v1/tunnel    the gRPC face, through whatever passes websockets

    GET /v1/ca        the certificate by which this runtime's own TLS is checked, for anybody

Every other route needs a token, those that do not exist too, and the scope that `scopes` asks for it.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import Any

import uvicorn
from google.protobuf.message import Message
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Match, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from remote_runtime.gateway import scopes, tunnel
from remote_runtime.gateway.config import Config, is_whole
from remote_runtime.gateway.gateway import Gateway
from remote_runtime.gateway.users import Users
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed

OPEN = tuple(path for path, scope in scopes.ROUTES.items() if scope == scopes.OPEN)
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
    """Lets requests through that show a token which may make them; `scope["caller"]` is whose."""

    def __init__(self, app: ASGIApp, users: Users, routes: Sequence[BaseRoute]) -> None:
        self._app, self._users, self._routes = app, users, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] != "lifespan" else None
        answer = _refusing(refusal) if refusal is not None else self._app
        await answer(scope, receive, send)

    def _refusal(self, scope: Scope) -> Failed | None:
        needed = self._needed(scope)
        if needed == scopes.OPEN:
            return None
        caller = self._users.caller_of(dict(scope.get("headers", ())).get(b"authorization", b""))
        if caller is None:
            return scopes.nobody()
        scope["caller"] = caller
        return None if scopes.may(caller, needed) else scopes.lacking(caller, needed)

    def _needed(self, scope: Scope) -> str:
        """Return what a path asks for; one that leads nowhere asks for any good token."""
        met = (getattr(route, "path", "") for route in self._routes if route.matches(scope)[0] is not Match.NONE)
        return next((scopes.ROUTES.get(path, scopes.ADMIN) for path in met), scopes.ANY)


def _refusing(failure: Failed) -> Response:
    told = {"code": failure.code, "message": failure.message, "hint": failure.hint}
    return JSONResponse(told, 401 if failure.code == "unauthorized" else 403)


class _Routes:
    """What is answered."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def table(self) -> list[BaseRoute]:
        return [
            Route("/healthz", self.health),
            Route("/v1/ca", self.ca),
            Route("/v1/runtime", self.runtime),
            Route("/v1/status", self.status),
            WebSocketRoute(tunnel.PATH, self.tunnel),
        ]

    async def health(self, _request: Request) -> Response:
        return PlainTextResponse("ok")

    async def ca(self, _request: Request) -> Response:
        """Tell the certificate that signs this runtime's own; one with given certificates has none to tell."""
        file = self._gateway.config.own_ca
        return PlainTextResponse(file.read_text() if file.exists() else "", 200 if file.exists() else 404)

    async def runtime(self, request: Request) -> Response:
        with self._gateway.call():
            info = as_json(await self._gateway.describe(pb.DescribeRequest(caller=request.scope["caller"])))
        answer = {key: info[key] for key in ("versions", "engine", "http", "grpc", "unix", "pid", "idle_exit_s")}
        host = request.url.hostname or ""
        for key in ("http", "grpc"):
            answer[key] = _reachable(answer[key], host)
        return JSONResponse(answer)

    async def status(self, request: Request) -> Response:
        with self._gateway.call():
            info = as_json(await self._gateway.describe(pb.DescribeRequest(caller=request.scope["caller"])))
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
        self._app = _Gate(Starlette(routes=self.routes), users, self.routes)
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

    def reload(self, config: Config) -> None:
        """Show the certificate that the TLS files hold by now."""
        if self._server is not None and config.tls and is_whole(config):
            self._server.config.ssl.load_cert_chain(config.tls_cert, config.tls_key)

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
