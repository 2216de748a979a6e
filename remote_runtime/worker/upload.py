"""A bundle on its way from a client to the user process, passed on piece by piece, unopened.

    data frame --checked against what was announced--> held, until its turn comes --> sink
    once it has come: straight to the sink

The keeper checks every piece itself, so that a damaged upload is refused here and never reaches the user
process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from remote_runtime.wire import frames, limits
from remote_runtime.wire.failures import Failed

HELD_BYTES = 256 * limits.MIB
"""A longer upload that waits for its turn stops its client's stream."""

Sink = Callable[[frames.Piece], None]


class Upload:
    """The pieces of one announced bundle.

    Args:
        request_id: Of the request that announced it, for the failure when it is damaged.
        size_bytes: All of it, as announced.

    Attributes:
        let_go: Called when its bundle's blocks of shared memory are no longer held for it.
    """

    def __init__(self, request_id: int, size_bytes: int) -> None:
        self.request_id = request_id
        self._size_bytes, self._seen_bytes, self._held_bytes = size_bytes, 0, 0
        self._held: list[frames.Piece] = []
        self._sink: Sink | None = None
        self.broken = False
        self._moved = asyncio.Event()
        self.lost: Callable[[Failed], None] = lambda failed: None
        self.arrived: Callable[[], None] = lambda: None
        self.let_go: Callable[[], None] = lambda: None

    @property
    def whole(self) -> bool:
        """Whether all of it has come."""
        return self._seen_bytes >= self._size_bytes

    @property
    def full(self) -> bool:
        """Whether its client should wait before it sends more."""
        return self._held_bytes > HELD_BYTES

    def take(self, piece: frames.Piece) -> None:
        """Take the next piece; pieces of an upload that was given up are dropped.

        Raises:
            Failed: code "protocol", for a piece that is not the next one; the upload is given up.
        """
        if self.broken:
            self._seen_bytes += piece.content.nbytes
            return
        end = piece.offset + piece.content.nbytes
        if piece.offset != self._seen_bytes or end > self._size_bytes:
            self.broken = True
            raise Failed(
                "protocol",
                "the stream between kernel and worker is damaged: a data frame starts at byte "
                f"{piece.offset}, expected byte {self._seen_bytes} of {self._size_bytes}",
                "run the cell again",
            )
        self._seen_bytes = end
        self._pass(piece)
        if self.whole:
            self.arrived()

    def open(self, sink: Sink) -> None:
        """Its turn has come: pass on what was held, and from now on everything."""
        self._sink = sink
        self._moved.set()
        held, self._held, self._held_bytes = self._held, [], 0
        for piece in held:
            sink(piece)

    def give_up(self) -> None:
        """Drop what was held and whatever may still come."""
        self.broken = True
        self._moved.set()
        self._held, self._held_bytes = [], 0
        self.let_go()

    async def room(self) -> None:
        """Wait until its turn has come or it was given up."""
        await self._moved.wait()

    def _pass(self, piece: frames.Piece) -> None:
        if self._sink is not None:
            self._sink(piece)
        else:
            self._held.append(piece)
            self._held_bytes += piece.content.nbytes
