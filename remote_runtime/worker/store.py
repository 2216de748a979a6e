"""What was sent to this process, by its content: the same need not be sent again, whoever sends it under what name.

    bundle + header.contents --restored--> the bundle as it was packed; what came is noted, what was left out is given
    value dies, or is too long unused --news--> Stock, for the keeper and the kernels

While a value lives, its memory is only looked at: nothing is kept twice. What dies is kept as long as it is among the
latest `limit_bytes`. Shared memory is not kept: on one host a copy costs no more than looking, and a sender finds its
blocks free sooner. Whatever is given was compared by its digest, as the values here are the user's to change, and is
memory of its own.
"""

from __future__ import annotations

import ctypes
import sys
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from remote_runtime.wire import contents
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.bundle import Bundle
from remote_runtime.wire.failures import EVICTED, Failed
from remote_runtime.wire.leaves import content_digest
from remote_runtime.wire.reader import Reader
from remote_runtime.wire.stock import stock_of

_Key = tuple[bytes, int]

_OWN_REFERENCES = 2
"""To what is kept here and used by no value, as `sys.getrefcount` counts them: the entry's, and the argument."""


@dataclass
class _Entry:
    """One content.

    Args:
        alive: Gives the memory that holds it, as long as a value uses it.
        is_shared: Whether that is a block of shared memory.
        kept: The memory, where it is kept.
    """

    alive: Callable[[], Any]
    is_shared: bool = False
    kept: Any = None

    @property
    def memory(self) -> Any:
        """The memory; None when it is gone."""
        return self.alive() if self.kept is None else self.kept


class Store:
    """The contents of one user process; used by its main thread.

    Args:
        reader: Knows which memory is a block of shared memory.
        limit_bytes: The most that is kept.
    """

    def __init__(self, reader: Reader, limit_bytes: int = 0) -> None:
        self._reader, self.limit_bytes = reader, limit_bytes
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()
        self._told: frozenset[_Key] = frozenset()
        self._dead: deque[_Key] = deque()
        self._is_changed = False
        self.kept_bytes = 0

    def restored(self, bundle: Bundle, told: Sequence[pb.Content]) -> Bundle:
        """Return a bundle as it was packed.

        Args:
            bundle: What came.
            told: What its header tells of its contents.

        Raises:
            Failed: code "evicted" when something that was left out is not held any more.
        """
        return contents.restored(bundle, told, self) if told else bundle

    def news(self) -> pb.Stock | None:
        """Return what changed since the last call; None when nothing did."""
        self._bury()
        if not self._is_changed:
            return None
        self._is_changed, before, self._told = False, self._told, frozenset(self._entries)
        stock = stock_of(self._told - before, before - self._told)
        return stock if stock.added or stock.gone else None

    def clear(self) -> int:
        """Forget everything; return how much memory that gives back."""
        idle_bytes = self.idle_bytes
        self._entries.clear()
        self.kept_bytes, self._is_changed = 0, True
        return idle_bytes

    @property
    def idle_bytes(self) -> int:
        """Memory that is kept and that no value uses."""
        kept = [(size, sys.getrefcount(entry.kept)) for (_, size), entry in self._entries.items() if entry.kept]
        return sum(size for size, references in kept if references <= _OWN_REFERENCES)

    # ---- see `contents.Cellar` ----------------------------------------------------------------------------

    def give(self, content: pb.Content) -> bytes | memoryview:
        """See `contents.Cellar`."""
        key = (content.digest, content.size_bytes)
        entry = self._entries.get(key)
        try:
            found = self._copied(entry) if entry is not None else None
        except (OSError, MemoryError):  # no room for it now: what comes anew finds its own ways
            found = None
        if entry is None or found is None or content_digest(found) != content.digest:
            self._drop(key)
            message = f"{content.size_bytes} bytes that were sent before are not held any more"
            raise Failed(EVICTED, message, "run the cell again")
        self._entries.move_to_end(key)
        return self._lent(key, found) if isinstance(found, bytearray) else found

    def keep(self, content: pb.Content, held: memoryview) -> memoryview:
        """See `contents.Cellar`."""
        key = (content.digest, content.size_bytes)
        if not self._reader.lends(held):
            return self._lent(key, held)
        self._enter(key, _Entry(weakref.ref(held.obj, partial(_note, self._dead, key)), is_shared=True))
        return held

    def keep_stretch(self, content: pb.Content, held: memoryview) -> None:
        """See `contents.Cellar`."""
        if content.size_bytes <= self.limit_bytes:
            self._enter((content.digest, content.size_bytes), _Entry(_gone, kept=bytes(held)))

    # ---- small parts --------------------------------------------------------------------------------------

    def _copied(self, entry: _Entry) -> bytes | bytearray | memoryview | None:
        """Return memory of its own with what an entry holds; bytes as they are, as nobody can change them."""
        memory = entry.memory
        if memory is None or isinstance(memory, bytes):
            return memory
        seen = memoryview(memory).cast("B")
        return self._reader.again(seen) if entry.is_shared else bytearray(seen)

    def _lent(self, key: _Key, memory: Any) -> memoryview:
        """Let a value use memory, and note what it holds; it is this process's own."""
        # With an exporter of its own: whatever is built on the memory, and views of it, refer to that.
        owner = (ctypes.c_char * key[1]).from_buffer(memory)
        kept = owner if key[1] <= self.limit_bytes else None
        self._enter(key, _Entry(weakref.ref(owner, partial(_note, self._dead, key)), kept=kept))
        return memoryview(owner).cast("B")

    def _enter(self, key: _Key, entry: _Entry) -> None:
        self._drop(key)
        self._entries[key], self._is_changed = entry, True
        self.kept_bytes += key[1] if entry.kept is not None else 0
        for oldest in list(self._entries):
            if self.kept_bytes <= self.limit_bytes:
                return
            self._let_go(oldest)

    def _let_go(self, key: _Key) -> None:
        """Keep a content no longer; what a value uses is still known."""
        entry = self._entries[key]
        self.kept_bytes -= key[1] if entry.kept is not None else 0
        entry.kept = None
        if entry.alive() is None:
            self._drop(key)

    def _drop(self, key: _Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._is_changed = True
            self.kept_bytes -= key[1] if entry.kept is not None else 0

    def _bury(self) -> None:
        while self._dead:
            key = self._dead.popleft()
            entry = self._entries.get(key)
            if entry is not None and entry.memory is None:
                self._drop(key)


def _note(dead: deque[_Key], key: _Key, _: weakref.ref[Any]) -> None:
    dead.append(key)  # by the garbage collector, anywhere


def _gone() -> None:
    return None
