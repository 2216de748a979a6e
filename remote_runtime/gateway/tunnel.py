"""One HTTP port for everything: a websocket that carries the bytes of one connection to the gRPC face.

    client's gRPC <--bytes--> websocket (through any proxy) <--bytes--> the gateway's own Unix socket

The bytes are not looked at. Every call among them shows its token to the gRPC face as if it had come by itself, so a
tunnel lets nobody do anything; that it needs a token too keeps strangers from holding connections open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

PATH = "/v1/tunnel"

PIECE_BYTES = 256 * 1024
"""Most that goes into one message."""

Receive = Callable[[], Awaitable[bytes | None]]
Send = Callable[[bytes], Awaitable[None]]


async def carry(unix: Path, receive: Receive, send: Send) -> None:
    """Pass bytes between a websocket and the gRPC face until either ends.

    Args:
        unix: Socket of the gRPC face.
        receive: Returns the next message's bytes; None when the websocket has ended.
        send: Sends a message and returns when it was taken.
    """
    reader, writer = await asyncio.open_unix_connection(unix, limit=2 * PIECE_BYTES)
    ways = [asyncio.ensure_future(_up(receive, writer)), asyncio.ensure_future(_down(reader, send))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)  # a side that has gone is no accident
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _up(receive: Receive, writer: asyncio.StreamWriter) -> None:
    while (piece := await receive()) is not None:
        writer.write(piece)
        await writer.drain()


async def _down(reader: asyncio.StreamReader, send: Send) -> None:
    while piece := await reader.read(PIECE_BYTES):
        await send(piece)
