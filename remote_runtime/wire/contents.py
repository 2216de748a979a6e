"""The large parts of a bundle, known by what they hold: those that the receiver holds already need not travel.

    what a pickler wrote -> parts_of -> Bundle.parts
    parts, what is held there -> told -> header.contents -> spared -> a smaller bundle, which travels
    smaller bundle, header.contents -> restored -> the bundle as it was packed, or Failed

Between the two ends nobody need know of it: a buffer that is left out is an empty buffer, and a shorter pickle is a
pickle. `leaves.content_digest` says what is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from remote_runtime.wire import limits
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.arriving import torn
from remote_runtime.wire.bundle import Bundle, Part
from remote_runtime.wire.leaves import Contents, content_digest
from remote_runtime.wire.memory import address_of
from remote_runtime.wire.stock import Stock

_NONE = memoryview(b"")


class Cellar(Protocol):
    """What the receiver holds; `store.Store` is one."""

    def give(self, content: pb.Content) -> bytes | memoryview:
        """Return what it holds, as memory of the caller's own.

        Raises:
            Failed: code "evicted", when it does not hold that any more.
        """

    def keep(self, content: pb.Content, held: memoryview) -> memoryview:
        """Take what came, which the caller goes on using; return what to use instead."""

    def keep_stretch(self, content: pb.Content, held: memoryview) -> None:
        """Take a copy of what came."""


def parts_of(
    chunks: Iterable[bytes], buffers: Sequence[memoryview], first: tuple[int, int], known: Contents
) -> tuple[Part, ...]:
    """Find the large parts of what was pickled.

    Args:
        chunks: The stream; a large text or bytes object is a chunk of its own.
        buffers: What stands beside it.
        first: How many chunks and buffers are passed over.
        known: Digests that were made already.
    """
    parts, offset = [], 0
    for number, chunk in enumerate(chunks):
        if number >= first[0] and len(chunk) >= limits.CONTENT_BYTES:
            parts.append(Part(len(chunk), offset=offset))
        offset += len(chunk)
    for number, buffer in enumerate(buffers):
        if number >= first[1] and buffer.nbytes >= limits.CONTENT_BYTES:
            digest, _ = known.get((address_of(buffer), buffer.nbytes), (b"", None))
            parts.append(Part(buffer.nbytes, number, digest=digest))
    return tuple(parts)


def told(bundle: Bundle, stock: Stock | None, shares: bool) -> list[pb.Content]:
    """Tell the large parts of a bundle; those that are held need not travel.

    Args:
        bundle: What shall travel.
        stock: What the receiver holds; None for what shall travel whatever it holds.
        shares: Whether buffers travel in shared memory: they are not read once more only to be told.
    """
    return [_content(bundle, part, stock) for part in bundle.parts if not shares or _is_told(part, stock)]


def _is_told(part: Part, stock: Stock | None) -> bool:
    known = bool(part.digest) or part.buffer is None
    return known or (stock is not None and stock.has_size(part.size_bytes))


def _content(bundle: Bundle, part: Part, stock: Stock | None) -> pb.Content:
    digest = part.digest or content_digest(_view(bundle, part))
    held = stock is not None and stock.holds(digest, part.size_bytes)
    buffer = 0 if part.buffer is None else part.buffer + 1
    return pb.Content(digest=digest, size_bytes=part.size_bytes, buffer=buffer, offset=part.offset, held=held)


def _view(bundle: Bundle, part: Part) -> memoryview:
    if part.buffer is not None:
        return bundle.buffers[part.buffer]
    return memoryview(bundle.pickle)[part.offset : part.offset + part.size_bytes]


def spared(bundle: Bundle, contents: Sequence[pb.Content]) -> Bundle:
    """Return a bundle without the parts that are held where it goes."""
    held = [content for content in contents if content.held]
    if not held:
        return bundle
    away = {content.buffer - 1 for content in held if content.buffer}
    buffers = tuple(_NONE if number in away else buffer for number, buffer in enumerate(bundle.buffers))
    kept, start, whole = [], 0, memoryview(bundle.pickle)
    for content in held:
        if not content.buffer:
            kept.append(whole[start : content.offset])
            start = content.offset + content.size_bytes
    return Bundle(b"".join([*kept, whole[start:]]) if start else bundle.pickle, buffers)


def restored(bundle: Bundle, contents: Sequence[pb.Content], cellar: Cellar) -> Bundle:
    """Return a bundle as it was packed.

    Args:
        bundle: What came.
        contents: What its header tells.
        cellar: Has what is left out, and takes what is not.

    Raises:
        Failed: code "evicted" when something that is left out is not there, "protocol" when they do not fit.
    """
    buffers = list(bundle.buffers)
    for content in contents:
        number, came_bytes = content.buffer - 1, 0 if content.held else content.size_bytes
        if number >= len(buffers) or (number >= 0 and buffers[number].nbytes != came_bytes):
            raise torn(f"content of {content.size_bytes} bytes is told of a buffer that is another")
        if number >= 0:
            came = buffers[number]
            buffers[number] = memoryview(cellar.give(content)) if content.held else cellar.keep(content, came)
    stretches = [content for content in contents if not content.buffer]
    pickle = _with_stretches(memoryview(bundle.pickle), stretches, cellar) if stretches else bundle.pickle
    return Bundle(pickle, tuple(buffers))


def _with_stretches(came: memoryview, stretches: Sequence[pb.Content], cellar: Cellar) -> bytes | memoryview:
    whole: list[bytes | memoryview] = []
    start = missing = 0
    for content in stretches:
        begin = content.offset - missing
        end = begin + content.size_bytes * (not content.held)
        if not start <= begin <= end <= came.nbytes:
            raise torn(f"content of {content.size_bytes} bytes lies outside its pickle")
        whole.append(came[start:begin])
        if content.held:
            whole.append(cellar.give(content))
            missing += content.size_bytes
        else:
            whole.append(came[begin:end])
            cellar.keep_stretch(content, came[begin:end])
        start = end
    return b"".join([*whole, came[start:]]) if missing else came
