"""Where a pickler writes: pieces of the stream, and beside it the buffers that are large enough, up to a limit."""

from __future__ import annotations

import pickle

from remote_runtime.wire.problems import TooLarge

INBAND_BYTES = 1024
"""Smaller buffers stay in the stream: a frame of its own would cost more than the copy."""


class Sink:
    """Collects what the pickler writes.

    Args:
        limit_bytes: The most that it takes; None for any.
    """

    def __init__(self, limit_bytes: int | None) -> None:
        self.chunks: list[bytes] = []
        self.buffers: list[memoryview] = []
        self.size_bytes = 0
        self.name = ""
        self._limit_bytes = limit_bytes

    def write(self, chunk: bytes) -> None:
        """Take a piece of the stream."""
        self.chunks.append(chunk)
        self._count(len(chunk))

    def keep(self, buffer: pickle.PickleBuffer) -> bool:
        """Take a buffer out of band; return whether it shall stay in the stream instead."""
        view = buffer.raw()
        if view.nbytes < INBAND_BYTES:
            return True
        self.buffers.append(view)
        self._count(view.nbytes)
        return False

    def _count(self, size_bytes: int) -> None:
        self.size_bytes += size_bytes
        if self._limit_bytes is not None and self.size_bytes > self._limit_bytes:
            raise TooLarge(self.name, self._limit_bytes)
