"""The reader's end of shared memory: blocks of a peer's as writeable memory, and word of those that have ended.

    Segment + descriptor --add--> mapped once
    Block --view--> memoryview --> array ... the last one that refers to it dies --freed--> Freed, for the peer

Segments are mapped copy-on-write. What the owner of a value changes in it is the owner's alone: another reader
of the same block, a later replay of it and a forked child see what was sent, as if each had its own memory.
Pages that were changed are thrown away before the block is reported, and only those cost anything.

A value may die inside the garbage collector or a signal handler, so its death only appends to a deque. Blocks
that were alive when the process forked are reported as abandoned: the child may go on looking at them.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
import weakref
from collections import deque
from functools import partial

from remote_runtime.wire import memory, seals
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.arriving import torn
from remote_runtime.wire.failures import Failed

_Key = tuple[int, int]
_Owner = ctypes.Array[ctypes.c_char]

_readers: weakref.WeakSet[Reader] = weakref.WeakSet()


class Reader:
    """Memory of one peer's; it ends with the connection, the views of it do not."""

    def __init__(self) -> None:
        self._segments: dict[int, mmap.mmap] = {}
        self._files: dict[int, int] = {}
        self._lent: dict[_Key, tuple[weakref.ref[_Owner], int]] = {}
        self._dead: deque[_Key] = deque()
        self._shared: set[_Key] = set()
        self._lock = threading.RLock()
        self._pid = os.getpid()
        _readers.add(self)

    @property
    def segment_count(self) -> int:
        """Segments that are mapped for further blocks."""
        return len(self._segments)

    @property
    def lent_count(self) -> int:
        """Blocks that are in use here, or not yet reported."""
        return len(self._lent)

    def add(self, segment: pb.Segment, fd: int | None) -> None:
        """Take a segment, or the news that one is gone.

        Args:
            segment: As the peer announced it; without a size, it is gone.
            fd: Its descriptor, which is the reader's from now on.

        Raises:
            Failed: code "protocol", when the descriptor is missing or no such file; "memory", when it cannot be
                mapped.
        """
        if not segment.size_bytes:
            self._segments.pop(segment.segment, None)
            self._close_file(segment.segment)
            return
        if fd is None:
            raise torn(f"segment {segment.segment} came without its descriptor")
        try:
            if os.fstat(fd).st_size < segment.size_bytes:
                raise torn(f"segment {segment.segment} is shorter than announced")
            self._segments[segment.segment] = mmap.mmap(fd, segment.size_bytes, access=mmap.ACCESS_COPY)
            self._files[segment.segment], fd = fd, None
        except OSError as error:
            message = f"{segment.size_bytes} bytes of shared memory cannot be mapped: {error}"
            raise Failed("memory", message, "free memory on this machine and run the cell again") from error
        finally:
            if fd is not None:
                os.close(fd)

    def view(self, block: pb.Block) -> memoryview:
        """Return the memory of a block; it is reported when the last reference to it is gone.

        Raises:
            Failed: code "protocol", for a block that lies in no segment, or that is in use already.
        """
        found, key = self._segments.get(block.segment), (block.segment, block.offset)
        if found is None or block.offset + block.size_bytes > len(found):
            raise torn(f"a block of {block.size_bytes} bytes lies outside segment {block.segment}")
        with self._lock:
            if key in self._lent:
                raise torn(f"byte {block.offset} of segment {block.segment} was sent twice")
            # Each block has its own exporter: whatever is built on the view, and views of it, refer to that.
            owner = (ctypes.c_char * block.size_bytes).from_buffer(found, block.offset)
            seals.seal(owner, block.digest)
            self._lent[key] = weakref.ref(owner, partial(_note, self._dead, key)), block.size_bytes
        return memoryview(owner).cast("B")

    def lends(self, seen: memoryview) -> bool:
        """Tell whether memory is a block of the peer's, from `view`."""
        return self._key_of(seen) is not None

    def again(self, seen: memoryview) -> memoryview | None:
        """Return what a peer has sent as memory of another value's, whatever was done with the first, uncopied.

        Args:
            seen: From `view`.

        Returns:
            None for memory that is no block of the peer's.

        Raises:
            OSError: It cannot be mapped once more.
        """
        owner, key = seen.obj, self._key_of(seen)
        fd = self._files.get(key[0]) if key is not None else None
        if key is None or fd is None:
            return None
        mapped = mmap.mmap(fd, seen.nbytes, access=mmap.ACCESS_COPY, offset=key[1])
        other = (ctypes.c_char * seen.nbytes).from_buffer(mapped)
        other.first = owner  # type: ignore[attr-defined]  # the block is in use as long as either is
        return memoryview(other).cast("B")

    @property
    def has_news(self) -> bool:
        """Whether blocks have ended of which the peer has not heard."""
        return bool(self._dead)

    def freed(self) -> list[pb.Freed]:
        """Return what the peer must hear: blocks that it may use again, and those that it may not."""
        if os.getpid() != self._pid or not self._dead:
            return []
        free, abandoned = pb.Freed(), pb.Freed(abandoned=True)
        with self._lock:
            while self._dead:
                key = self._dead.popleft()
                _, size_bytes = self._lent.pop(key)
                told = abandoned if key in self._shared else free
                self._shared.discard(key)
                self._clean(key, size_bytes)
                told.blocks.add(segment=key[0], offset=key[1], size_bytes=size_bytes)
        return [told for told in (free, abandoned) if told.blocks]

    def close(self) -> None:
        """End with the connection: views stay what they are, their ends are nobody's business any more."""
        with self._lock:
            self._segments, self._lent, self._dead = {}, {}, deque()
            for segment in list(self._files):
                self._close_file(segment)

    def _key_of(self, seen: memoryview) -> _Key | None:
        return next((key for key, (held, _) in self._lent.copy().items() if held() is seen.obj), None)

    def _close_file(self, segment: int) -> None:
        fd = self._files.pop(segment, None)
        if fd is not None:
            os.close(fd)

    def _clean(self, key: _Key, size_bytes: int) -> None:
        """Throw away the pages that were changed, so that the next value in this place is seen."""
        found = self._segments.get(key[0])
        if found is not None:
            memory.forget_changes(found, key[1], size_bytes)


def _note(dead: deque[_Key], key: _Key, _: weakref.ref[_Owner]) -> None:
    dead.append(key)


class _Fork:
    """Keeps readers still while the process forks, so that what the child will see is known exactly."""

    def __init__(self) -> None:
        self._held: list[Reader] = []

    def before(self) -> None:
        self._held = list(_readers)
        for reader in self._held:
            reader._lock.acquire()

    def in_parent(self) -> None:
        for reader in self._held:
            reader._shared.update(key for key, (owner, _) in reader._lent.items() if owner() is not None)
            reader._lock.release()
        self._held = []

    def in_child(self) -> None:
        for reader in self._held:
            reader._lock = threading.RLock()
        self._held = []


_fork = _Fork()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_fork.before, after_in_parent=_fork.in_parent, after_in_child=_fork.in_child)
