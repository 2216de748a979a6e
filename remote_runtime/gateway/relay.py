"""The gateway's side towards keepers: calls with the keeper's secret, and streams passed on unopened.

    Keepers.call("Renew", ...) --secret--> keeper        client <--frames--> relay <--frames--> keeper

The relay moves one frame at a time in each direction and waits until it was taken, so a slow end slows the
other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import grpc
from google.protobuf.message import Message

from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.methods import AUTHORIZATION, CHANNEL_OPTIONS, FAILURE, WORKER, WORKER_SERVICE

_OPTIONS = (*CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1))


@dataclass(frozen=True)
class Peer:
    """A keeper.

    Args:
        address: "unix:PATH" or "HOST:PORT".
        token: Its secret, or a session's token.
    """

    address: str
    token: str = field(repr=False)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What every call shows."""
        return ((AUTHORIZATION, f"Bearer {self.token}"),)


class Keepers:
    """The channels to every keeper, made when first used."""

    def __init__(self) -> None:
        self._channels: dict[str, grpc.aio.Channel] = {}

    def _channel(self, address: str) -> grpc.aio.Channel:
        if address not in self._channels:
            self._channels[address] = grpc.aio.insecure_channel(address, options=_OPTIONS)
        return self._channels[address]

    async def call(self, peer: Peer, name: str, request: Message, timeout_s: float) -> Message:
        """Call one method of a keeper.

        Args:
            peer: Which keeper, with its secret.
            name: A key of `WORKER` that does not stream.
            request: Of that method.
            timeout_s: Longest wait.

        Raises:
            Failed: What the keeper answered, or code "unavailable" when it did not.
        """
        method = WORKER[name]
        channel = self._channel(peer.address)
        stub = channel.unary_unary(
            f"/{WORKER_SERVICE}/{name}",
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.reply.FromString,
        )
        with self._translated(peer.address, channel):
            return await stub(request, metadata=peer.metadata, timeout=timeout_s)

    async def relay(
        self, peer: Peer, incoming: AsyncIterator[bytes], write: Callable[[bytes], Awaitable[None]]
    ) -> None:
        """Pass frames between a client and a keeper until the keeper ends the stream.

        Args:
            peer: Which keeper, with the session's token.
            incoming: The client's frames.
            write: Sends one frame to the client and returns when it was taken.

        Raises:
            Failed: What the keeper answered, or code "unavailable" when it is gone.
        """
        channel = self._channel(peer.address)
        call = channel.stream_stream(f"/{WORKER_SERVICE}/Attach")(metadata=peer.metadata)
        up = asyncio.ensure_future(_up(call, incoming))
        try:
            with self._translated(peer.address, channel):
                async for frame in call:
                    await write(frame)
        finally:
            up.cancel()
            call.cancel()
            await asyncio.gather(up, return_exceptions=True)

    @contextmanager
    def _translated(self, address: str, channel: grpc.aio.Channel) -> Iterator[None]:
        try:
            yield
        except grpc.aio.AioRpcError as error:
            raise failed(error) from error
        except asyncio.CancelledError as error:
            # A channel that `forget` closes cancels its calls, which must not look as if their caller had been.
            if self._channels.get(address) is channel:
                raise
            raise Failed("unavailable", "the worker is gone", "run the cell again") from error

    async def forget(self, address: str) -> None:
        """Close the channel to a keeper that is gone."""
        channel = self._channels.pop(address, None)
        if channel is not None:
            await channel.close()

    async def close(self) -> None:
        """Close every channel; the keepers live on."""
        for address in list(self._channels):
            await self.forget(address)


async def _up(call: grpc.aio.StreamStreamCall, incoming: AsyncIterator[bytes]) -> None:
    # A write fails when the stream has ended; the reading side tells why.
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        async for frame in incoming:
            await call.write(frame)
        await call.done_writing()


def failed(error: grpc.aio.AioRpcError) -> Failed:
    """Return what a keeper's answer means."""
    for key, value in error.trailing_metadata() or ():
        if key == FAILURE:
            found = pb.Failure.FromString(value)
            return Failed(found.code, found.message, found.hint, dict(found.detail))
    return Failed(
        "unavailable", f"the worker did not answer: {error.details() or error.code().name}",
        "run the cell again",
        {"status": error.code().name},
    )  # fmt: skip
