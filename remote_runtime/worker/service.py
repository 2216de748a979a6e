"""The keeper's gRPC face on its Unix socket: checks tokens, passes messages and raw frames to the keeper.

    gateway --Claim, Renew, Notice, Stop (secret)--> Keeper
    client  --Attach: frames (session token in the first)--> Keeper --frames--> client

The socket gets its name only when the user process is ready, so that whoever can connect finds a warm worker.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import grpc
import grpc.aio

from remote_runtime.wire import forking, methods
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.lane import path_of
from remote_runtime.worker.client import Client
from remote_runtime.worker.keeper import Keeper
from remote_runtime.worker.lanes import Lanes, refusal
from remote_runtime.worker.nursery import Nursery
from remote_runtime.worker.tuning import Order

_FLUSH_S = 1.0

log = logging.getLogger(__name__)

_Context = grpc.aio.ServicerContext


class Face:
    """What gRPC calls.

    Args:
        keeper: Does the work.
        secret: What the gateway must show.
    """

    def __init__(self, keeper: Keeper, secret: str) -> None:
        self._keeper, self._secret = keeper, f"Bearer {secret}".encode()
        self._stopping: set[asyncio.Task[None]] = set()
        self._pumps: set[asyncio.Task[None]] = set()

    def handlers(self) -> grpc.GenericRpcHandler:
        """Return the handlers of every method in the table."""
        unary = {"Claim": self._claim, "Renew": self._renew, "Notice": self._notice, "Stop": self._stop,
                 "Lend": self._lend}  # fmt: skip
        found = {name: _unary(methods.WORKER[name], self._guarded(call)) for name, call in unary.items()}
        found["Attach"] = grpc.stream_stream_rpc_method_handler(self._attach)
        return grpc.method_handlers_generic_handler(methods.WORKER_SERVICE, found)

    async def flush(self) -> None:
        """Wait a little until attached clients have what they shall still get."""
        if self._pumps:
            await asyncio.wait(self._pumps, timeout=_FLUSH_S)

    def _guarded(self, call: Callable[[Any], Awaitable[Any]]) -> Callable[[Any, _Context], Awaitable[Any]]:
        async def checked(request: Any, context: _Context) -> Any:
            shown = dict(context.invocation_metadata() or ()).get(methods.AUTHORIZATION, "")
            if not hmac.compare_digest(str(shown).encode(), self._secret):
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the worker's secret is missing or wrong")
            return await call(request)

        return checked

    async def _claim(self, request: pb.ClaimRequest) -> pb.ClaimReply:
        return self._keeper.claim(request)

    async def _renew(self, request: pb.RenewRequest) -> pb.SessionInfo:
        return self._keeper.renew(request.ttl_s)

    async def _notice(self, request: pb.NoticeRequest) -> pb.Empty:
        told = pb.Notice(text=request.text)
        if request.release_in_s > 0:
            told.release_in_s = request.release_in_s
        self._keeper.notify(told)
        return pb.Empty()

    async def _lend(self, request: pb.LendRequest) -> pb.Empty:
        self._keeper.desk.lend(request.run_id, request.env)
        return pb.Empty()

    async def _stop(self, request: pb.KeeperStopRequest) -> pb.Empty:
        task = asyncio.create_task(self._keeper.stop(request.grace_s, request.reason))
        self._stopping.add(task)
        return pb.Empty()

    async def _attach(self, requests: Any, context: _Context) -> None:
        first = await context.read()
        if first is grpc.aio.EOF:
            return
        try:
            client = self._keeper.attach(first)
        except Failed as failed:
            await context.write(refusal(failed))
            return
        pump = asyncio.create_task(_pump(client, context.write))
        reader = asyncio.create_task(self._read(client, context))
        dropped = asyncio.create_task(client.gone.wait())
        self._pumps.add(pump)
        try:
            await asyncio.wait((pump, reader, dropped), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._keeper.desk.leave(client)
            await _cancel(reader, pump, dropped)
            self._pumps.discard(pump)

    async def _read(self, client: Client, context: _Context) -> None:
        while (frame := await context.read()) is not grpc.aio.EOF:
            self._keeper.desk.take(client, frame)
            if client.uploads or self._keeper.desk.crowded:
                await self._keeper.desk.room(client)


def _unary(method: methods.Method, call: Any) -> grpc.RpcMethodHandler:
    return grpc.unary_unary_rpc_method_handler(
        call,
        request_deserializer=method.request.FromString,
        response_serializer=method.reply.SerializeToString,
    )


async def _pump(client: Client, write: Callable[[bytes], Awaitable[None]]) -> None:
    """Send a client its frames until it leaves, each when gRPC has taken the one before."""
    woken = asyncio.Event()
    client.on_wake = woken.set
    for frame in client.outgoing():
        if frame is not None:
            await write(frame)
        else:
            woken.clear()
            await woken.wait()


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    for found in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(found, Exception):
            log.info("a client's stream broke: %r", found)


def main(order: Order, zygote: socket.socket) -> int:
    """Be a keeper until it ends.

    Args:
        order: What the zygote was told.
        zygote: Connected to it.

    Returns:
        The exit code, a key of `forking.EXIT_REASONS`.
    """
    return asyncio.run(_Keeping(order, zygote).live())


class _Keeping:
    """A keeper's life: socket, loop, clock, end."""

    def __init__(self, order: Order, zygote: socket.socket) -> None:
        self._order, self._zygote = order, zygote

    async def live(self) -> int:
        loop = asyncio.get_running_loop()
        self._done: asyncio.Future[int] = loop.create_future()
        nursery = Nursery(self._zygote, self._order.worker_id, lambda: keeper.orphaned())
        keeper = Keeper(self._order, nursery, self._finish)
        nursery.listen(loop)
        keeper.runner.users.spawn()
        face = Face(keeper, self._order.secret)
        server = await self._serve(face)
        self._lanes = Lanes(keeper, path_of(self._order.socket))
        self._catch_signals(loop, keeper)
        ticking = asyncio.create_task(self._tick(keeper))
        naming = asyncio.create_task(self._name(keeper))
        code = await self._done
        ticking.cancel()
        naming.cancel()
        await self._end(keeper, face, server)
        return code

    def _finish(self, code: int) -> None:
        if not self._done.done():
            log.info("the keeper ends: %s", forking.EXIT_REASONS.get(code, code))
            self._done.set_result(code)

    async def _serve(self, face: Face) -> grpc.aio.Server:
        server = grpc.aio.server(options=methods.CHANNEL_OPTIONS)
        server.add_generic_rpc_handlers((face.handlers(),))
        os.umask(0o077)
        server.add_insecure_port(f"unix:{self._unnamed}")
        await server.start()
        return server

    @property
    def _unnamed(self) -> str:
        return os.path.join(os.path.dirname(self._order.socket), f".{os.getpid()}")

    async def _name(self, keeper: Keeper) -> None:
        await keeper.warmed.wait()
        self._lanes.open()
        os.rename(self._unnamed, self._order.socket)

    def _catch_signals(self, loop: asyncio.AbstractEventLoop, keeper: Keeper) -> None:
        def stop() -> None:
            self._stopping = asyncio.create_task(keeper.stop(0, "the runtime is being stopped"))

        loop.add_signal_handler(signal.SIGTERM, stop)
        loop.add_signal_handler(signal.SIGINT, lambda: None)

    async def _tick(self, keeper: Keeper) -> None:
        while True:
            await asyncio.sleep(self._order.tuning.tick_s)
            try:
                keeper.tick()
            except Exception:  # a full disk or a missing /proc entry must not stop the clock that leases hang on
                log.exception("a tick failed")

    async def _end(self, keeper: Keeper, face: Face, server: grpc.aio.Server) -> None:
        for path in (self._order.socket, self._unnamed):
            with suppress(OSError):
                os.unlink(path)
        keeper.close()
        await asyncio.gather(face.flush(), self._lanes.close(_FLUSH_S))
        await server.stop(0)
