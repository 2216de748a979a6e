"""Frames: control messages and pieces of bundles on one ordered stream of byte strings.

    message [+ bundle] -> frames -> (gRPC stream | socket pair) -> Assembler -> message [+ bundle]

A frame's first byte is the protocol version (high nibble) and its kind (low nibble). A control frame holds one
protobuf message. A data frame holds the bundle's id, an offset, and bytes: the pickle first, then each buffer
that does not lie in shared memory.
Control frames may pass between the data frames of a bundle, so an interrupt never waits behind an upload; the
message that announced a bundle is delivered when the bundle is whole. Nothing here does I/O.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import DecodeError, Message

from remote_runtime.wire import limits
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.arriving import Arriving, View, torn
from remote_runtime.wire.bundle import Bundle

CONTROL = limits.PROTOCOL << 4 | 1
DATA = limits.PROTOCOL << 4 | 2
GROUP = limits.PROTOCOL << 4 | 3
_DATA_HEAD = struct.Struct("!BIQ")
_LENGTH = struct.Struct("!I")

M = TypeVar("M", pb.ToWorker, pb.FromWorker)


def control(message: Message) -> bytes:
    """Return the frame of a message that announces no bundle."""
    return bytes((CONTROL,)) + message.SerializeToString()


def announce(header: pb.BundleHeader, bundle: Bundle, bundle_id: int, blocks: Sequence[pb.Block] = ()) -> bool:
    """Fill the header for a bundle; a small one goes inside.

    Args:
        header: The header inside the message that announces the bundle.
        bundle: What will travel.
        bundle_id: Unique within this stream and direction.
        blocks: Where its buffers lie in shared memory, as `placement.place` found; empty when nowhere.

    Returns:
        Whether data frames must follow.
    """
    header.bundle_id = bundle_id
    header.blocks.extend(blocks)
    streamed = _streamed(bundle, blocks)
    if not streamed and len(bundle.pickle) <= limits.INLINE_BYTES:
        header.inline_pickle = bytes(bundle.pickle)
    else:
        header.pickle_bytes = len(bundle.pickle)
    header.buffer_bytes.extend(b.nbytes for b in bundle.buffers)
    return bool(header.pickle_bytes or streamed)


def data(bundle: Bundle, bundle_id: int, blocks: Sequence[pb.Block] = ()) -> Iterator[bytes]:
    """Yield the data frames of an announced bundle, in order.

    Args:
        bundle: As it was announced.
        bundle_id: As it was announced.
        blocks: As they were announced; what lies in one is left out.
    """
    streamed = _streamed(bundle, blocks)
    inside = not streamed and len(bundle.pickle) <= limits.INLINE_BYTES
    offset = 0
    for part in streamed if inside else (memoryview(bundle.pickle), *streamed):
        flat = part.cast("B") if part.nbytes else part
        for start in range(0, part.nbytes, limits.CHUNK_BYTES):
            piece = flat[start : start + limits.CHUNK_BYTES]
            yield data_frame(bundle_id, offset, piece)
            offset += piece.nbytes


def data_frame(bundle_id: int, offset: int, content: bytes | memoryview) -> bytes:
    """Return one data frame, its content copied."""
    return b"".join((_DATA_HEAD.pack(DATA, bundle_id, offset), content))


def _streamed(bundle: Bundle, blocks: Sequence[pb.Block]) -> list[memoryview]:
    """Return the buffers that travel as data frames."""
    if not blocks:
        return list(bundle.buffers)
    return [buffer for buffer, block in zip(bundle.buffers, blocks, strict=True) if not block.segment]


def is_data(frame: bytes) -> bool:
    """Tell whether a frame is a piece of a bundle."""
    return bool(frame) and frame[0] == DATA


def parse(kind: type[M], frame: bytes) -> M:
    """Return the message of a control frame.

    Args:
        kind: The message class of this direction, `ToWorker` or `FromWorker`.
        frame: A frame that is no data frame.

    Raises:
        Failed: code "protocol", for a frame that is cut or of another version.
    """
    if not frame:
        raise torn("an empty frame")
    if frame[0] != CONTROL:
        raise torn(f"a frame starts with byte 0x{frame[0]:02x}, expected 0x{CONTROL:02x} or 0x{DATA:02x}")
    message = kind()
    try:
        message.ParseFromString(frame[1:])
    except DecodeError as error:
        raise torn(f"a control frame of {len(frame)} bytes cannot be parsed") from error
    return message


@dataclass(frozen=True)
class Piece:
    """What a data frame says of itself, for those who pass it on unopened.

    Args:
        bundle_id: Whose piece.
        offset: Of its first byte within the bundle.
        content: Its bytes, not copied.
    """

    bundle_id: int
    offset: int
    content: memoryview


def piece(frame: bytes) -> Piece:
    """Read a data frame's head.

    Raises:
        Failed: code "protocol", for a frame that is cut.
    """
    if len(frame) <= _DATA_HEAD.size:
        raise torn(f"a data frame of {len(frame)} bytes is cut")
    _, bundle_id, offset = _DATA_HEAD.unpack_from(frame)
    return Piece(bundle_id, offset, memoryview(frame)[_DATA_HEAD.size :])


def framed_piece(found: Piece, bundle_id: int) -> tuple[bytes, memoryview]:
    """Return a data frame under another bundle id, for a socket, in two parts so that its bytes are not copied."""
    length = _LENGTH.pack(_DATA_HEAD.size + found.content.nbytes)
    return length + _DATA_HEAD.pack(DATA, bundle_id, found.offset), found.content


def header_of(message: pb.ToWorker | pb.FromWorker) -> pb.BundleHeader | None:
    """Return the bundle header that a message carries, or None when it carries none."""
    body = message.WhichOneof("body")
    if body == "event":
        holder = message.event.end if message.event.HasField("end") else None
    elif body in ("run", "put", "values"):
        holder = getattr(message, body)
    else:
        return None
    return holder.bundle if holder is not None and holder.HasField("bundle") else None


def awaits_data(message: pb.ToWorker | pb.FromWorker) -> int:
    """Return how many bytes of data frames follow a message; 0 when it stands alone."""
    header = header_of(message)
    if header is None:
        return 0
    placed = sum(block.size_bytes for block in header.blocks if block.segment)
    return header.pickle_bytes + sum(header.buffer_bytes) - placed


@dataclass(frozen=True)
class Whole(Generic[M]):
    """A message with the bundle it announced, if any."""

    message: M
    bundle: Bundle | None


class Assembler(Generic[M]):
    """Turns one direction's frames into whole messages.

    Args:
        kind: The message class of this direction, `ToWorker` or `FromWorker`.
        view: Gives the memory of blocks; None where there is no shared memory.
    """

    def __init__(self, kind: type[M], view: View | None = None) -> None:
        self._kind, self._view = kind, view
        self._pending: dict[int, tuple[M, Arriving]] = {}

    def feed(self, frame: bytes) -> Whole[M] | None:
        """Take one frame.

        Returns:
            A message that is now whole, or None while a bundle is still arriving.

        Raises:
            Failed: code "protocol", for a frame that is cut, doubled, out of order or of another version.
        """
        return self._feed_data(frame) if is_data(frame) else self._feed_control(frame)

    def _feed_control(self, frame: bytes) -> Whole[M] | None:
        message = parse(self._kind, frame)
        header = header_of(message)
        if header is None:
            return Whole(message, None)
        if not header.buffer_bytes and not header.pickle_bytes:
            return Whole(message, Bundle(header.inline_pickle, ()))
        if header.bundle_id in self._pending:
            raise torn(f"bundle {header.bundle_id} is announced twice")
        arriving = Arriving(header, self._view)
        if arriving.whole:
            return Whole(message, arriving.bundle())
        self._pending[header.bundle_id] = (message, arriving)
        return None

    def _feed_data(self, frame: bytes) -> Whole[M] | None:
        found = piece(frame)
        if found.bundle_id not in self._pending:
            raise torn(f"a data frame belongs to bundle {found.bundle_id}, which is not arriving")
        message, arriving = self._pending[found.bundle_id]
        arriving.fill(found.offset, found.content)
        if not arriving.whole:
            return None
        del self._pending[found.bundle_id]
        return Whole(message, arriving.bundle())


class Splitter:
    """Cuts a socket's bytes into frames, each behind its length as 4 bytes, big-endian."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def rest_bytes(self) -> int:
        """Bytes of a frame that is not complete."""
        return len(self._buffer)

    def feed(self, received: bytes) -> Iterator[bytes]:
        """Take what a socket gave and yield the frames it completes.

        Raises:
            Failed: code "protocol", for a length above the limit.
        """
        self._buffer += received
        start = 0
        while len(self._buffer) - start >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._buffer, start)
            if size > limits.FRAME_LIMIT_BYTES:
                raise torn(f"a frame of {size} bytes is longer than the limit of {limits.FRAME_LIMIT_BYTES}")
            end = start + _LENGTH.size + size
            if len(self._buffer) < end:
                break
            yield bytes(memoryview(self._buffer)[start + _LENGTH.size : end])
            start = end
        del self._buffer[:start]


def framed(frame: bytes) -> bytes:
    """Return a frame behind its length, for a socket."""
    return _LENGTH.pack(len(frame)) + frame


def grouped(parts: Sequence[bytes]) -> bytes:
    """Return several frames as one, for a stream whose cost is by the message; one frame stays as it is."""
    return parts[0] if len(parts) == 1 else bytes((GROUP,)) + b"".join(map(framed, parts))


def ungrouped(frame: bytes) -> Iterator[bytes]:
    """Yield the frames of a group, or a frame that is no group as it is.

    Raises:
        Failed: code "protocol", for a group that is cut.
    """
    if frame[:1] != bytes((GROUP,)):
        yield frame
        return
    splitter = Splitter()
    yield from splitter.feed(frame[1:])
    if splitter.rest_bytes:
        raise torn(f"a group of frames ends {splitter.rest_bytes} bytes into a frame")
