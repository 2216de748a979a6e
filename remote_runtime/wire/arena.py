"""The writer's end of shared memory: blocks in files that are made ready once and used again and again.

    size --allocate--> Block, in a segment that has room, or in a new one, or nowhere: then None
    Block --write--> bytes in shared memory; the receiver maps them and copies nothing
    Freed --free--> room again, merged with its neighbours

A block belongs to one value from `allocate` to `free`, and nobody writes to it in between. Whoever has received
a bundle's header reports its blocks, once. What is never reported, because its holder died or is out of reach,
is never used again: then the segment is retired, and its memory lives as long as somebody maps it.

First use of memory costs ten times a copy, so `warm` prepares a little ahead, and freed memory is used first.
"""

from __future__ import annotations

import itertools
import mmap
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from remote_runtime.wire import bulk, limits, memory
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.blocks import Space

RETRY_S = 10.0
"""After the system refused memory it is not asked again for so long."""

_ids = itertools.count(1)
"""Segment ids of this process: none is ever used for a second segment."""


@dataclass
class _Segment:
    """One file of shared memory.

    Args:
        number: Its id.
        fd: Its descriptor.
        memory: All of it, mapped shared.
        space: What of it is free.
        taken: Offset -> size of each block.
        ready_bytes: Up to here its pages exist.
        used_at: When a block was last taken or given back.
        told: Whether the peer has its descriptor.
        retired: Whether it gives no more blocks.
    """

    number: int
    fd: int
    memory: mmap.mmap
    space: Space
    taken: dict[int, int] = field(default_factory=dict)
    ready_bytes: int = 0
    used_at: float = 0.0
    told: bool = False
    retired: bool = False

    def __del__(self) -> None:
        os.close(self.fd)


@dataclass(frozen=True)
class Stats:
    """What an arena holds.

    Args:
        segment_count: Its files.
        size_bytes: Their sizes together.
        ready_bytes: Memory that exists.
        taken_bytes: Of that, in blocks.
        block_count: Blocks that are not freed.
    """

    segment_count: int
    size_bytes: int
    ready_bytes: int
    taken_bytes: int
    block_count: int


class Arena:
    """Shared memory that one process writes for one peer; it ends with their connection.

    Args:
        limit_bytes: The most it may hold; None for a quarter of what this process may have, or for nothing where
            the system has no memory files.
        directory: A memory file system to use; empty for the system's own.
        clock: Seconds, monotonic.

    Attributes:
        refusal: Why a block was refused last, in one sentence; empty when none was.
    """

    def __init__(
        self, limit_bytes: int | None = None, directory: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limit_bytes = most_bytes() if limit_bytes is None else limit_bytes
        self.refusal = ""
        self._directory, self._clock = directory, clock
        self._lock = threading.RLock()  # memory may be given back by a handler of a signal
        self._segments: dict[int, _Segment] = {}
        self._gone: list[int] = []
        self._refused_at: float | None = None
        self._closed = False
        self._pid = os.getpid()

    def allocate(self, size_bytes: int, ahead_bytes: int = 0) -> pb.Block | None:
        """Take a block.

        Args:
            size_bytes: Its size.
            ahead_bytes: How much will be taken right after it, so that one new segment has room for all.

        Returns:
            The block, its pages there; None where no memory is to be had, and `refusal` says why.
        """
        size = memory.pages(size_bytes)
        with self._lock:
            if self._closed or os.getpid() != self._pid:
                return None
            segment, offset = self._room(size, memory.pages(ahead_bytes))
            if segment is None:
                return None
            segment.taken[offset] = size
            segment.used_at = self._clock()
        block = pb.Block(segment=segment.number, offset=offset, size_bytes=size_bytes)
        if self._made_ready(segment, offset + size):
            return block
        self.free([block])
        return None

    def write(self, block: pb.Block, source: memoryview) -> None:
        """Fill a block, and note in it the digest of what it holds.

        Args:
            block: From `allocate`, of the source's size.
            source: Contiguous bytes.
        """
        segment = self._segments.get(block.segment)
        if segment is not None:  # else the connection has ended meanwhile
            block.digest = bulk.copy(segment.memory, block.offset, source)

    def free(self, blocks: Iterable[pb.Block], abandoned: bool = False) -> None:
        """Take blocks back.

        Args:
            blocks: One that is not taken, or of a segment that is gone, is left alone.
            abandoned: Whether somebody unknown may still see them: then their memory is never used again.
        """
        with self._lock:
            for block in blocks:
                segment = self._segments.get(block.segment)
                size = segment.taken.pop(block.offset, None) if segment is not None else None
                if segment is None or size is None:
                    continue
                segment.used_at = self._clock()
                if abandoned:
                    self._retire(segment)
                elif segment.retired:
                    memory.drop(segment.memory, block.offset, size)
                else:
                    segment.space.give(block.offset, size)
                if segment.retired and not segment.taken:
                    self._let_go(segment)

    def news(self) -> list[tuple[pb.Segment, int | None]]:
        """Return what the peer must hear before the next header: new segments, and those that are gone.

        Returns:
            Messages; a new segment's with its descriptor, which the caller closes once it is sent; one that is
            gone has no size and no descriptor.
        """
        with self._lock:
            gone, self._gone = self._gone, []
            told = [(pb.Segment(segment=number), None) for number in gone]
            fresh = [segment for segment in self._segments.values() if not segment.told]
            for segment in fresh:
                segment.told = True
            return told + [
                (pb.Segment(segment=s.number, size_bytes=s.space.size_bytes), os.dup(s.fd)) for s in fresh
            ]

    def warm(self, size_bytes: int = limits.WARM_BYTES) -> None:
        """Make some memory ready before it is needed, where there is none yet. For a thread in the background."""
        with self._lock:
            if self._segments or self._closed or os.getpid() != self._pid:
                return
            segment = self._grown(memory.pages(min(size_bytes, self.limit_bytes)), 0)
        if segment is not None:
            self._made_ready(segment, min(memory.pages(size_bytes), segment.space.size_bytes))

    def trim(self, idle_s: float = limits.ARENA_IDLE_S) -> None:
        """Give back segments that have held nothing for a while."""
        with self._lock:
            now = self._clock()
            for segment in list(self._segments.values()):
                if segment.space.idle and now - segment.used_at >= idle_s:
                    self._let_go(segment)

    def close(self) -> None:
        """End with the connection: what was sent lives as long as its receiver maps it, the rest is given back."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if os.getpid() == self._pid:
                for segment in self._segments.values():
                    self._retire(segment)
            self._segments.clear()
            self._gone.clear()

    @property
    def stats(self) -> Stats:
        """What it holds now."""
        with self._lock:
            found = list(self._segments.values())
        taken = [size for segment in found for size in segment.taken.values()]
        size_bytes = sum(segment.space.size_bytes for segment in found)
        return Stats(len(found), size_bytes, sum(s.ready_bytes for s in found), sum(taken), len(taken))

    def _room(self, size_bytes: int, ahead_bytes: int) -> tuple[_Segment | None, int]:
        for segment in sorted(self._segments.values(), key=lambda s: s.used_at, reverse=True):
            offset = None if segment.retired else segment.space.take(size_bytes)
            if offset is not None:
                return segment, offset
        fresh = self._grown(size_bytes, ahead_bytes)
        return (None, 0) if fresh is None else (fresh, fresh.space.take(size_bytes) or 0)

    def _grown(self, size_bytes: int, ahead_bytes: int) -> _Segment | None:
        """Add a segment; idle ones go first where the limit asks for it."""
        if self._refused_at is not None and self._clock() - self._refused_at < RETRY_S:
            return None
        for wanted in (max(size_bytes + ahead_bytes, limits.SEGMENT_BYTES), size_bytes):
            if self._size_bytes + wanted > self.limit_bytes:
                self.trim(idle_s=0)
            if self._size_bytes + wanted <= self.limit_bytes:
                return self._made(wanted)
        held, limit, more = (n / limits.MIB for n in (self._size_bytes, self.limit_bytes, size_bytes))
        self.refusal = f"{held:.1f} of {limit:.1f} MiB of shared memory are taken, and {more:.1f} more are needed"
        return None

    def _made(self, size_bytes: int) -> _Segment | None:
        try:
            fd = memory.create(size_bytes, self._directory)
        except OSError as error:
            return self._refused(error)
        try:
            shared = mmap.mmap(fd, size_bytes)
        except OSError as error:
            os.close(fd)
            return self._refused(error)
        segment = _Segment(next(_ids), fd, shared, Space(size_bytes), used_at=self._clock())
        self._segments[segment.number] = segment
        return segment

    def _made_ready(self, segment: _Segment, end: int) -> bool:
        """See that pages exist up to an offset; blocks below it have theirs, or their takers see to it."""
        start = segment.ready_bytes
        if end <= start:
            return True
        try:
            memory.commit(segment.fd, segment.memory, start, end)
        except OSError as error:
            self._refused(error)
            return False
        segment.ready_bytes = max(segment.ready_bytes, end)
        return True

    def _refused(self, error: OSError) -> None:
        self.refusal = f"the system gives no more shared memory: {error.strerror or error}"
        self._refused_at = self._clock()

    def _retire(self, segment: _Segment) -> None:
        if not segment.retired:
            segment.retired = True
            for start, size in _existing(segment):
                memory.drop(segment.memory, start, size)

    def _let_go(self, segment: _Segment) -> None:
        """Forget a segment without blocks; its descriptor and map go with the last copy that is under way."""
        self._retire(segment)
        del self._segments[segment.number]
        if segment.told:
            self._gone.append(segment.number)

    @property
    def _size_bytes(self) -> int:
        return sum(segment.space.size_bytes for segment in self._segments.values())


def most_bytes() -> int:
    """Return a quarter of what this process may have; 0 where the system has no memory files."""
    return int(memory.ram_bytes() * limits.ARENA_RAM_SHARE) if memory.available() else 0


def _existing(segment: _Segment) -> Iterator[tuple[int, int]]:
    """Yield the free ranges of a segment, as far as their pages exist."""
    for start, size in segment.space.ranges():
        end = min(start + size, segment.ready_bytes)
        if start < end:
            yield start, end - start
