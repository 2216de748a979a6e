"""A bundle's buffers, placed in shared memory: those that are worth it, as long as there is room.

    Bundle --place--> one Block for each buffer --> header
"""

from __future__ import annotations

from collections.abc import Sequence

from remote_runtime.wire import limits
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.arena import Arena
from remote_runtime.wire.bundle import Bundle
from remote_runtime.wire.ramp import Ramp

STREAMED = pb.Block()
"""Stands for a buffer that travels as data frames."""


def place(bundle: Bundle, arena: Arena, ramp: Ramp | None = None) -> list[pb.Block]:
    """Copy a bundle's large buffers into shared memory.

    Args:
        bundle: What will travel.
        arena: The sender's. Its `news` must reach the receiver before the header does.
        ramp: What was copied ahead.

    Returns:
        One block for each buffer, `STREAMED` for those that travel as data frames; empty when all of them do.
    """
    sizes = [buffer.nbytes if buffer.nbytes >= limits.SHARED_BYTES else 0 for buffer in bundle.buffers]
    ahead_bytes = sum(sizes)
    blocks: list[pb.Block] = []
    try:
        for buffer, size_bytes in zip(bundle.buffers, sizes, strict=True):
            ahead_bytes -= size_bytes
            block = ramp.found(buffer) if ramp is not None and size_bytes else None
            if block is not None:
                blocks.append(block)
                continue
            block = arena.allocate(size_bytes, ahead_bytes) if size_bytes else None
            blocks.append(block or STREAMED)
            if block is not None:
                arena.write(block, buffer)
    except BaseException:  # Ctrl-C between two copies: nobody will hear of these blocks
        take_back(arena, blocks)
        raise
    return blocks if any(block.segment for block in blocks) else []


def take_back(arena: Arena, blocks: Sequence[pb.Block]) -> None:
    """Free the blocks of a bundle whose header was never sent."""
    arena.free([block for block in blocks if block.segment])
