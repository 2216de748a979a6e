"""The gateway's gRPC face: methods become handlers, and a `Failed` a status that carries it.

    call --gate (token)--> handler -> Gateway method -> reply        Failed -> STATUS[code] + trailing
    metadata

Every method needs a token, those that do not exist too, and the scope that `scopes` asks for it; who lacks it
learns nothing but that. A call ends when its token does.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message

from remote_runtime.gateway import scopes
from remote_runtime.gateway.accounts import Accounts
from remote_runtime.gateway.config import Config, is_whole
from remote_runtime.gateway.gateway import Gateway
from remote_runtime.gateway.users import Users
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.methods import (
    AUTHORIZATION,
    CHANNEL_OPTIONS,
    FAILURE,
    GATEWAY,
    GATEWAY_SERVICE,
    SESSION,
    SESSION_TOKEN,
    Method,
)

_log = logging.getLogger(__name__)
_Code = grpc.StatusCode

_OF_A_USER = (pb.OpenRequest, pb.LendRequest, pb.SecretsRequest, pb.VolumesRequest, pb.BuildRequest)
"""Requests whose `user` is who asks."""

STATUS: Mapping[str, grpc.StatusCode] = {
    "bad-target": _Code.INVALID_ARGUMENT,
    "target-unavailable": _Code.FAILED_PRECONDITION,
    "target-busy": _Code.RESOURCE_EXHAUSTED,
    "unauthorized": _Code.UNAUTHENTICATED,
    "unsupported": _Code.UNIMPLEMENTED,
    "untrusted": _Code.FAILED_PRECONDITION,
    "forbidden": _Code.PERMISSION_DENIED,
    "version-mismatch": _Code.FAILED_PRECONDITION,
    "worker-died": _Code.ABORTED,
    "session-lost": _Code.NOT_FOUND,
    "unpack": _Code.INVALID_ARGUMENT,
    "pack": _Code.INVALID_ARGUMENT,
    "timeout": _Code.DEADLINE_EXCEEDED,
    "interrupted": _Code.ABORTED,
    "cancelled": _Code.CANCELLED,
    "memory": _Code.RESOURCE_EXHAUSTED,
    "protocol": _Code.INVALID_ARGUMENT,
    "disk-full": _Code.RESOURCE_EXHAUSTED,
    "not-found": _Code.NOT_FOUND,
    "mirror": _Code.FAILED_PRECONDITION,
    "evicted": _Code.FAILED_PRECONDITION,
    "diverged": _Code.FAILED_PRECONDITION,
    "files": _Code.FAILED_PRECONDITION,
    "image": _Code.FAILED_PRECONDITION,
    "busy": _Code.FAILED_PRECONDITION,
    "unavailable": _Code.UNAVAILABLE,
    "internal": _Code.INTERNAL,
}
"""Failure code -> gRPC status; every code has one."""

_OPTIONS = (
    *CHANNEL_OPTIONS,
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
)


class _Gate(grpc.aio.ServerInterceptor):
    """Lets calls through that show a token which may make them."""

    def __init__(self, users: Users) -> None:
        self._users = users

    async def intercept_service(self, continuation: Callable[..., Awaitable[Any]], details: Any) -> Any:
        caller = self._users.caller_of(_shown(details.invocation_metadata))
        if caller is None:
            return _refusing(scopes.nobody())
        name = details.method.rpartition("/")[2]
        needed = scopes.METHODS.get(name, scopes.ADMIN if name in GATEWAY else scopes.ANY)
        return await continuation(details) if scopes.may(caller, needed) else _refusing(scopes.lacking(caller, needed))


def _shown(metadata: Iterable[tuple[str, str | bytes]] | None) -> bytes:
    shown = dict(metadata or ()).get(AUTHORIZATION, "")
    return shown if isinstance(shown, bytes) else shown.encode()


def _refusing(failure: Failed) -> grpc.RpcMethodHandler:
    async def refuse(_requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        await _abort(context, failure)
        yield b""  # never reached; it makes this a stream, which needs no request to be read first

    return grpc.stream_stream_rpc_method_handler(refuse)


async def _abort(context: grpc.aio.ServicerContext, failure: Failed) -> None:
    wire = pb.Failure(code=failure.code, message=failure.message, hint=failure.hint, detail=failure.detail)
    first_line = failure.message.splitlines()[0]
    await context.abort(STATUS[failure.code], first_line, ((FAILURE, wire.SerializeToString()),))


def _unexpected() -> Failed:
    """Log the exception being handled under a short id, and return what the client is told."""
    defect = secrets.token_hex(4)
    _log.exception("defect %s", defect)
    return Failed(
        "internal",
        f"the gateway failed in a way it does not know (defect {defect})",
        f"look for {defect} in `warmcell logs`",
        {"defect": defect},
    )


class _Handlers:
    """One method per kind of streaming."""

    def __init__(self, gateway: Gateway, users: Users) -> None:
        self._gateway, self._users = gateway, users
        self._accounts = Accounts(users, gateway.sessions_of, gateway.examine)

    def _caller(self, context: grpc.aio.ServicerContext) -> pb.Caller:
        caller = self._users.caller_of(_shown(context.invocation_metadata()))
        if caller is None:
            raise scopes.nobody()
        return caller

    def _sign(self, request: Message, caller: pb.Caller) -> Message:
        """Write into a request whose it is, whatever the client wrote there."""
        if "caller" in request.DESCRIPTOR.fields_by_name:
            request.caller.CopyFrom(caller)
        if isinstance(request, _OF_A_USER):
            request.user = caller.user
        return request

    def table(self) -> dict[str, grpc.RpcMethodHandler]:
        return {name: self._handler(name, method) for name, method in GATEWAY.items()}

    def _handler(self, name: str, method: Method) -> grpc.RpcMethodHandler:
        if method.request is None or method.reply is None:
            return grpc.stream_stream_rpc_method_handler(self._relay)
        codec = {
            "request_deserializer": method.request.FromString,
            "response_serializer": method.reply.SerializeToString,
        }
        verb = getattr(self._accounts, name.lower(), None) or getattr(self._gateway, name.lower())
        if method.streams == "reply":
            return grpc.unary_stream_rpc_method_handler(self._updates(verb), **codec)
        return grpc.unary_unary_rpc_method_handler(self._reply(verb), **codec)

    def _reply(self, verb: Callable[[Message], Awaitable[Message]]) -> Callable[..., Awaitable[Message | None]]:
        async def handle(request: Message, context: grpc.aio.ServicerContext) -> Message | None:
            with self._gateway.call():
                try:
                    caller = self._caller(context)
                    return await self._users.guarded(caller, verb(self._sign(request, caller)))
                except Failed as failure:
                    refused = failure
                except Exception:  # noqa: BLE001 - an unknown defect becomes an answer
                    refused = _unexpected()
                await _abort(context, refused)
                return None

        return handle

    def _updates(self, verb: Callable[[Message], AsyncIterator[Message]]) -> Callable[..., AsyncIterator[Message]]:
        async def handle(request: Message, context: grpc.aio.ServicerContext) -> AsyncIterator[Message]:
            with self._gateway.call():
                try:
                    caller = self._caller(context)
                    async with aclosing(verb(self._sign(request, caller))) as updates:
                        while (update := await self._users.guarded(caller, anext(updates, None))) is not None:
                            yield update
                    return
                except Failed as failure:
                    refused = failure
                except Exception:  # noqa: BLE001 - an unknown defect becomes an answer
                    refused = _unexpected()
                await _abort(context, refused)

        return handle

    async def _relay(self, incoming: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> None:
        metadata = dict(context.invocation_metadata() or ())
        key = (str(metadata.get(SESSION, "")), str(metadata.get(SESSION_TOKEN, "")))
        with self._gateway.call():
            try:
                caller = self._caller(context)
                await self._users.guarded(caller, self._gateway.relay(key, incoming, context.write, caller))
                return
            except Failed as failure:
                refused = failure
            except asyncio.CancelledError:
                raise
            except Exception:  # noqa: BLE001 - an unknown defect becomes an answer
                refused = _unexpected()
            await _abort(context, refused)


class GrpcFace:
    """Serves a gateway on TCP and on a Unix socket.

    Args:
        gateway: What is served.
        users: Who may call.
    """

    def __init__(self, gateway: Gateway, users: Users) -> None:
        self._gateway, self._users = gateway, users
        self._server: grpc.aio.Server | None = None

    async def start(self, config: Config) -> int:
        """Listen, and return the TCP port.

        Raises:
            Failed: code "unavailable", when an address is taken.
        """
        server = grpc.aio.server(interceptors=(_Gate(self._users),), options=_OPTIONS)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(GATEWAY_SERVICE, _Handlers(self._gateway, self._users).table()),)
        )
        config.unix.unlink(missing_ok=True)
        address = f"{_bracketed(config.host)}:{config.grpc_port}"
        try:
            server.add_insecure_port(f"unix:{config.unix}")
            port = (
                server.add_secure_port(address, _credentials(config))
                if config.tls
                else server.add_insecure_port(address)
            )
        except RuntimeError as error:
            raise Failed("unavailable", f"gRPC cannot listen on {address}", "choose another --grpc-port") from error
        await server.start()
        self._server = server
        return port

    async def stop(self, grace_s: float) -> None:
        """Take no more calls, and break off after the grace those that go on."""
        if self._server is not None:
            await self._server.stop(grace_s)


def _credentials(config: Config) -> grpc.ServerCredentials:
    """Return credentials that look at their files at each connection: a renewed certificate is shown at once."""
    files = (Path(config.tls_key), Path(config.tls_cert))
    seen = [_stamps(files)]

    def changed() -> grpc.ServerCertificateConfiguration | None:
        if (stamps := _stamps(files)) == seen[0] or not is_whole(config):
            return None
        seen[0] = stamps
        return _certificate(files)

    return grpc.dynamic_ssl_server_credentials(_certificate(files), changed)


def _stamps(files: Iterable[Path]) -> tuple[int, ...]:
    try:
        return tuple(file.stat().st_mtime_ns for file in files)
    except OSError:  # it is being replaced: the old one is good until the new one is there
        return ()


def _certificate(files: tuple[Path, Path]) -> grpc.ServerCertificateConfiguration:
    key, chain = files
    return grpc.ssl_server_certificate_configuration([(key.read_bytes(), chain.read_bytes())])


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
