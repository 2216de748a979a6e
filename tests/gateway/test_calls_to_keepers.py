"""Calls to a keeper that refuses, hangs, or goes away under the call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import grpc
import pytest

from remote_runtime.gateway.relay import Keepers, Peer
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.methods import FAILURE, WORKER_SERVICE


class Deaf(grpc.GenericRpcHandler):
    """A keeper that takes calls and never answers, except to refuse a claim."""

    def __init__(self) -> None:
        self.called = asyncio.Event()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        streaming = details.method == f"/{WORKER_SERVICE}/Attach"
        kind = grpc.stream_stream_rpc_method_handler if streaming else grpc.unary_unary_rpc_method_handler
        return kind(self.refuse if details.method.endswith("Claim") else self.hang)

    async def hang(self, _request: object, _context: object) -> None:
        self.called.set()
        await asyncio.Event().wait()

    async def refuse(self, _request: object, context: grpc.aio.ServicerContext) -> None:
        failure = pb.Failure(code="not-found", message="no such thing", hint="look")
        await context.abort(grpc.StatusCode.NOT_FOUND, "no", ((FAILURE, failure.SerializeToString()),))


def with_keeper(path: Path, body: Callable[[Keepers, Peer, Deaf], Awaitable[None]]) -> None:
    async def run() -> None:
        server, deaf, keepers = grpc.aio.server(), Deaf(), Keepers()
        server.add_generic_rpc_handlers((deaf,))
        server.add_insecure_port(f"unix:{path}/k.sock")
        await server.start()
        try:
            await asyncio.wait_for(body(keepers, Peer(f"unix:{path}/k.sock", "secret"), deaf), 10)
        finally:
            await keepers.close()
            await server.stop(None)

    asyncio.run(run())


def test_what_a_keeper_refuses_is_passed_on(home: Path) -> None:
    async def body(keepers: Keepers, peer: Peer, deaf: Deaf) -> None:
        with pytest.raises(Failed, match="no such thing\nhint: look") as caught:
            await keepers.call(peer, "Claim", pb.ClaimRequest(), 5)
        assert caught.value.code == "not-found"

    with_keeper(home, body)


def test_a_keeper_that_is_silent_is_unavailable(home: Path) -> None:
    async def body(keepers: Keepers, peer: Peer, deaf: Deaf) -> None:
        with pytest.raises(Failed, match="the worker did not answer"):
            await keepers.call(peer, "Renew", pb.RenewRequest(), 0.05)

    with_keeper(home, body)


def test_a_keeper_forgotten_under_a_call_is_gone_and_the_caller_goes_on(home: Path) -> None:
    async def body(keepers: Keepers, peer: Peer, deaf: Deaf) -> None:
        call = asyncio.ensure_future(keepers.call(peer, "Stop", pb.KeeperStopRequest(), 60))
        await deaf.called.wait()
        await keepers.forget(peer.address)
        with pytest.raises(Failed, match="the worker is gone") as caught:
            await call
        assert caught.value.code == "unavailable"

    with_keeper(home, body)


def test_a_keeper_forgotten_under_a_stream_is_gone(home: Path) -> None:
    async def silence() -> AsyncIterator[bytes]:
        yield b"hello"
        await asyncio.Event().wait()

    async def body(keepers: Keepers, peer: Peer, deaf: Deaf) -> None:
        async def write(frame: bytes) -> None:
            raise AssertionError(frame)

        stream = asyncio.ensure_future(keepers.relay(peer, silence(), write))
        await deaf.called.wait()
        await keepers.forget(peer.address)
        with pytest.raises(Failed, match="the worker is gone"):
            await stream

    with_keeper(home, body)


def test_a_caller_that_is_cancelled_is_cancelled(home: Path) -> None:
    async def body(keepers: Keepers, peer: Peer, deaf: Deaf) -> None:
        call = asyncio.ensure_future(keepers.call(peer, "Stop", pb.KeeperStopRequest(), 60))
        await deaf.called.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    with_keeper(home, body)
