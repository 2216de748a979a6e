"""The lane: frames on a plain Unix stream socket, with file descriptors beside them.

    frame | Laden(frame, fds) -> Backlog.add -> .send -> socket -> LaneReader.receive -> frames, some of them Laden

A word before each frame holds its length and how many descriptors belong to it. These leave with the frame's first
byte, so that they are always there when the frame is whole. Descriptors that nobody takes are closed with their
frame. Both ends of a lane are non-blocking: nothing here waits.
"""

from __future__ import annotations

import array
import functools
import os
import socket
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from remote_runtime.wire import limits
from remote_runtime.wire.failures import Failed

FDS_MOST = 8
"""So many descriptors may travel beside one frame."""

WAITING_MOST = 16
"""So many descriptors may have arrived before the frames that they belong to."""

_WORD = struct.Struct("!I")
_SIZE_BITS = 28
_SIZE_MASK = (1 << _SIZE_BITS) - 1
_ROOM_BYTES = 256 * limits.KIB
_LARGE_ROOM_BYTES = 4 * limits.MIB
_PARTS_AT_ONCE = 64
_RECEIVE_FLAGS = getattr(socket, "MSG_DONTWAIT", 0) | getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_SEND_FLAGS = getattr(socket, "MSG_DONTWAIT", 0) | getattr(socket, "MSG_NOSIGNAL", 0)


@functools.cache
def _beside_bytes() -> int:
    """Return the room for descriptors; asked for when a lane is there, as not every system knows of them."""
    return socket.CMSG_SPACE(WAITING_MOST * array.array("i").itemsize)


class Laden(bytes):
    """A frame with descriptors beside it, which are closed with it unless somebody takes them."""

    fds: list[int]

    def __new__(cls, frame: bytes, fds: Sequence[int]) -> Laden:
        """Make one.

        Args:
            frame: The frame.
            fds: Its descriptors, which it owns from now on; at most `FDS_MOST`.
        """
        if not 0 < len(fds) <= FDS_MOST:
            close_all(fds)
            raise ValueError(f"{len(fds)} descriptors beside a frame, expected 1 to {FDS_MOST}")
        laden = super().__new__(cls, frame)
        laden.fds = list(fds)
        return laden

    def take(self) -> list[int]:
        """Return the descriptors, which are the caller's from now on."""
        taken, self.fds = self.fds, []
        return taken

    def copy(self) -> Laden:
        """Return the same frame with descriptors of its own.

        Raises:
            OSError: The system has no descriptor left.
        """
        return Laden(bytes(self), fds_copied(self.fds))

    def __del__(self) -> None:
        close_all(getattr(self, "fds", ()))


def fds_of(frame: bytes) -> list[int]:
    """Return the descriptors beside a frame, which are the caller's from now on; none for a plain frame."""
    return frame.take() if isinstance(frame, Laden) else []


def close_all(fds: Sequence[int]) -> None:
    """Close descriptors."""
    for fd in fds:
        with suppress(OSError):
            os.close(fd)


def fds_copied(fds: Sequence[int]) -> list[int]:
    """Return descriptors of the caller's own for the same files.

    Raises:
        OSError: The system has no descriptor left.
    """
    made: list[int] = []
    try:
        for fd in fds:
            made.append(os.dup(fd))
    except OSError:
        close_all(made)
        raise
    return made


class Backlog:
    """What a socket has not taken yet, in order."""

    def __init__(self) -> None:
        self._parts: deque[tuple[memoryview, Laden | None]] = deque()
        self.size_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._parts)

    def add(self, frame: bytes) -> None:
        """Put a frame behind the others; the descriptors of a laden one are closed here once they have left."""
        laden = frame if isinstance(frame, Laden) else None
        count = len(laden.fds) if laden is not None else 0
        word = _WORD.pack(len(frame) | count << _SIZE_BITS)
        if len(frame) < _ROOM_BYTES:
            self._add(word + frame, laden)
        else:
            self._add(word, laden)
            self._add(frame, None)

    def add_parts(self, *parts: bytes | memoryview) -> None:
        """Put bytes behind the others that are framed already."""
        for part in parts:
            self._add(part, None)

    def send(self, sock: socket.socket) -> bool:
        """Give a socket what it takes.

        Returns:
            Whether all of it has left.

        Raises:
            OSError: The peer is gone.
        """
        try:
            while self._parts:
                self._took(self._sent(sock))
        except BlockingIOError:
            return False
        return True

    def clear(self) -> None:
        """Drop everything."""
        self._parts.clear()
        self.size_bytes = 0

    def _add(self, part: bytes | memoryview, laden: Laden | None) -> None:
        self._parts.append((memoryview(part), laden))
        self.size_bytes += len(part)

    def _sent(self, sock: socket.socket) -> int:
        first, laden = self._parts[0]
        if laden is not None:
            beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", laden.fds))]
            count = sock.sendmsg([first], beside, _SEND_FLAGS)
            self._parts[0] = (first, None)  # they left with the first byte, and are closed here with the frame
            return count
        if len(self._parts) == 1:
            return sock.send(first, _SEND_FLAGS)
        return sock.sendmsg(list(self._plain()), (), _SEND_FLAGS)

    def _plain(self) -> Iterator[memoryview]:
        for i in range(min(len(self._parts), _PARTS_AT_ONCE)):
            part, laden = self._parts[i]
            if laden is not None:
                return
            yield part

    def _took(self, count: int) -> None:
        self.size_bytes -= count
        while count:
            part, laden = self._parts.popleft()
            if count < len(part):
                self._parts.appendleft((part[count:], laden))
                return
            count -= len(part)


def send_laden(sock: socket.socket, frame: Laden) -> None:
    """Send a frame with its descriptors on a blocking socket.

    Raises:
        OSError: The peer is gone.
    """
    framed = _WORD.pack(len(frame) | len(frame.fds) << _SIZE_BITS) + frame
    beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", frame.fds))]
    sock.sendall(framed[sock.sendmsg([framed], beside) :])


class LaneReader:
    """Cuts what a socket gives into frames.

    Args:
        limit_bytes: Longest frame accepted.

    Attributes:
        limit_bytes: May be raised, once the peer has shown who it is.
        has_more: Whether there may be more at once: the last portion filled the room, or the stream is damaged
            behind it.
    """

    def __init__(self, limit_bytes: int = limits.FRAME_LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self._room = bytearray(_ROOM_BYTES)
        self._start = self._end = 0
        self._fds: deque[int] = deque()
        self._damage: Failed | None = None
        self.has_more = False

    def receive(self, sock: socket.socket) -> list[bytes]:
        """Take one portion of a socket and return the frames that it completes.

        Raises:
            BlockingIOError: Nothing is there.
            EOFError: The peer has closed.
            OSError: The peer is gone.
            Failed: code "protocol": a frame is too long, or its descriptors are not there.
        """
        if self._damage is not None:
            raise self._damage
        view = memoryview(self._room)[self._end :]
        count, beside, _, _ = sock.recvmsg_into((view,), _beside_bytes(), _RECEIVE_FLAGS)
        if beside:
            self._keep(beside)
        if not count:
            raise EOFError("the peer has closed")
        self._end += count
        self.has_more = count == len(view)
        whole: list[bytes] = []
        try:
            whole.extend(self._cut())
        except Failed as torn:  # what came whole before the damage is still good
            self._damage = torn
            self.has_more = True  # the damage itself, which no further byte would announce
            if not whole:
                raise
        return whole

    def close(self) -> None:
        """Close descriptors that belong to no whole frame."""
        close_all(self._fds)
        self._fds.clear()

    def __del__(self) -> None:
        self.close()

    def _keep(self, beside: Sequence[tuple[int, int, bytes]]) -> None:
        for level, kind, data in beside:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                found = array.array("i")
                found.frombytes(data[: len(data) - len(data) % found.itemsize])
                self._fds.extend(found)
        if len(self._fds) > WAITING_MOST:
            raise _torn(f"{len(self._fds)} descriptors came without their frames")

    def _cut(self) -> Iterator[bytes]:
        needed = _WORD.size
        view = memoryview(self._room)
        while self._end - self._start >= _WORD.size:
            (word,) = _WORD.unpack_from(self._room, self._start)
            size, count = word & _SIZE_MASK, word >> _SIZE_BITS
            if size > self.limit_bytes:
                raise _torn(f"a frame of {size} bytes is longer than the limit of {self.limit_bytes}")
            begin = self._start + _WORD.size
            if self._end < begin + size:
                needed = _WORD.size + size
                break
            self._start = begin + size
            frame = bytes(view[begin : begin + size])
            yield self._with_fds(frame, count) if count else frame
        self._make_room(needed)

    def _with_fds(self, frame: bytes, count: int) -> Laden:
        if count > len(self._fds):
            raise _torn(f"{len(self._fds)} descriptors came beside a frame, expected {count}")
        return Laden(frame, [self._fds.popleft() for _ in range(count)])

    def _make_room(self, needed: int) -> None:
        """Move what is left to the front; hold a frame that is longer than the room, but only while it comes."""
        left = self._end - self._start
        if not left and len(self._room) <= _LARGE_ROOM_BYTES:
            self._start = self._end = 0
        elif len(self._room) - self._start < max(needed, left + 1) or not left:
            room = bytearray(max(_ROOM_BYTES, needed))
            room[:left] = self._room[self._start : self._end]
            self._room, self._start, self._end = room, 0, left


def _torn(what: str) -> Failed:
    return Failed("protocol", f"the stream between kernel and worker is damaged: {what}", "run the cell again")


def path_of(path: str) -> str:
    """Return where a keeper's lane lies, beside the socket on which it speaks gRPC."""
    return f"{path}.lane"


@contextmanager
def short(path: str) -> Iterator[str]:
    """Give a socket's path a name that is short enough to bind or connect to.

    Raises:
        OSError: Its directory is not there.
    """
    if len(os.fsencode(path)) <= limits.UNIX_PATH_BYTES:
        yield path
        return
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{os.path.basename(path)}"
    finally:
        os.close(directory)
