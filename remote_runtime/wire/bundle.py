"""A bundle as bytes: what the transport moves without looking inside.

Apart from `payload.py`, so that whoever only moves bundles has no way to unpickle one.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """A large part of a bundle.

    Args:
        size_bytes: Its size.
        buffer: Place of the buffer that it is; None for a stretch of the pickle.
        offset: Of that stretch.
        digest: Of what it holds, see `leaves.content_digest`; empty where it was not made.
    """

    size_bytes: int
    buffer: int | None = None
    offset: int = 0
    digest: bytes = b""


@dataclass(frozen=True)
class Bundle:
    """Pickled values, and the memory they refer to.

    Args:
        pickle: One stream of consecutive pickles that share a memo, and its `seal`.
        buffers: What the stream refers to out of band, in order. On arrival each must be backed by writeable
            memory, which then belongs to the rebuilt values.
        parts: Its large parts, those of the pickle first, in order; empty on arrival.
    """

    pickle: bytes | bytearray | memoryview
    buffers: tuple[memoryview, ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Bytes that must travel."""
        return memoryview(self.pickle).nbytes + sum(buffer.nbytes for buffer in self.buffers)


SEAL_BYTES = 4


def seal(*chunks: bytes | memoryview) -> bytes:
    """Return the check sum that ends a stream: reading a damaged pickle may take all memory."""
    total = 0
    for chunk in chunks:
        total = zlib.crc32(chunk, total)
    return total.to_bytes(SEAL_BYTES, "big")


def opening(numbers: Iterable[int]) -> bytes:
    """Return a pickle that puts objects into the reader's memo, one after the other, and is None itself.

    Args:
        numbers: What the reader's `persistent_load` is asked for; each below 2**31.
    """
    # Written by hand, because an unpickler's memo can be filled by what it reads alone. The opcodes are those of
    # protocol 5: PROTO; BININT, BINPERSID, MEMOIZE and POP for each number; NONE, STOP.
    asked = b"".join(b"J" + number.to_bytes(4, "little") + b"Q\x940" for number in numbers)
    return b"\x80\x05" + asked + b"N."
