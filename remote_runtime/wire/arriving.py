"""A bundle on its way in: its pickle and buffers, filled from data frames or seen in shared memory.

    header --blocks--> views of shared memory, at once
           --sizes---> fresh memory <--fill-- pieces, in order
    whole -> Bundle
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.bundle import Bundle
from remote_runtime.wire.failures import Failed

View = Callable[[pb.Block], memoryview]
"""Gives the memory of a block, as `reader.Reader.view`."""


def torn(what: str) -> Failed:
    """Return the failure for a stream that cannot be read."""
    return Failed("protocol", f"the stream between kernel and worker is damaged: {what}", "run the cell again")


class Arriving:
    """A bundle being filled, in writeable memory.

    Args:
        header: What was announced.
        view: Gives the memory of blocks; None where there is no shared memory.

    Raises:
        Failed: code "protocol", for blocks that do not fit the buffers, or that nobody can see here.
    """

    def __init__(self, header: pb.BundleHeader, view: View | None) -> None:
        sizes = list(header.buffer_bytes)
        _check_blocks(header, sizes, view)
        blocks = list(header.blocks) or [pb.Block()] * len(sizes)
        buffers = [_memory_of(block, size, view) for block, size in zip(blocks, sizes, strict=True)]
        self._pickle = memoryview(header.inline_pickle or bytearray(header.pickle_bytes))
        self._buffers = tuple(buffers)
        streamed = [buffer for buffer, block in zip(buffers, blocks, strict=True) if not block.segment]
        self.parts = streamed if header.inline_pickle else [self._pickle, *streamed]
        self.size_bytes = sum(part.nbytes for part in self.parts)
        self.filled_bytes = 0
        self._part, self._within = 0, 0

    def fill(self, offset: int, piece: memoryview) -> None:
        """Take the next piece.

        Raises:
            Failed: code "protocol", for a piece that is not the next one.
        """
        if offset != self.filled_bytes or offset + piece.nbytes > self.size_bytes:
            raise torn(f"a data frame starts at byte {offset}, expected byte {self.filled_bytes} of {self.size_bytes}")
        self.filled_bytes += piece.nbytes
        while piece.nbytes:
            part = self.parts[self._part]
            room = len(part) - self._within
            taken = piece[:room]
            part[self._within : self._within + taken.nbytes] = taken
            self._within += taken.nbytes
            piece = piece[taken.nbytes :]
            if self._within == len(part):
                self._part, self._within = self._part + 1, 0

    @property
    def whole(self) -> bool:
        """Whether all of it has come."""
        return self.filled_bytes == self.size_bytes

    def bundle(self) -> Bundle:
        """Return it."""
        return Bundle(self._pickle, self._buffers)


def _check_blocks(header: pb.BundleHeader, sizes: Sequence[int], view: View | None) -> None:
    if header.blocks and (view is None or len(header.blocks) != len(sizes)):
        raise torn(f"{len(header.blocks)} blocks of shared memory came for {len(sizes)} buffers")
    wrong = [b for b, size in zip(header.blocks, sizes, strict=False) if b.segment and b.size_bytes != size]
    if wrong:
        raise torn(f"a block of {wrong[0].size_bytes} bytes came for a buffer of another size")


def _memory_of(block: pb.Block, size_bytes: int, view: View | None) -> memoryview:
    return view(block) if block.segment and view is not None else memoryview(bytearray(size_bytes))
