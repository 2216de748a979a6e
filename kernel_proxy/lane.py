"""A stream of frames over a plain Unix socket, read by whoever waits for something that comes on it.

    Outgoing -> flush, in the sender's thread -> socket; what it does not take -> the stream's own thread
    socket -> lead, in the waiting thread     -> take(frame)
           -> serve, in the stream's own thread, when nobody leads

The own thread sleeps on an epoll in which the socket is switched off while somebody leads, so that a reply wakes
the one thread that wants it. Reading and sending are each one thread's at a time, who leaves to the one that is
at it what it finds. An exception in their midst (Ctrl-C) leaves nobody knowing what has passed, so it ends the
stream: what was on its way is resumed on the next.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from kernel_proxy.channel import BrokenStream
from kernel_proxy.errors import RuntimeUnavailable
from kernel_proxy.parcels import Outgoing
from remote_runtime.wire import lane, limits
from remote_runtime.wire import messages_pb2 as pb

CONNECT_S = 5.0
"""How long a keeper may take to accept a connection."""

IDLE_S = 0.5
"""How often the own thread looks when nothing happens: for what may be sent late."""

LINGER_S = 0.05
"""How long the own thread leaves what arrives to a thread that has led just now and will be back."""

LEAVE_S = 1.0
"""How long a stream that has ended stays open for threads that are still at it."""

_PORTION_BYTES = 256 * limits.KIB
_READABLE = getattr(select, "EPOLLIN", 0)
_WRITABLE = getattr(select, "EPOLLOUT", 0)


def is_possible() -> bool:
    """Tell whether this system has what a lane is made of."""
    return hasattr(select, "epoll") and hasattr(os, "eventfd")


def dial(path: str, outgoing: Outgoing, arena_bytes: int = 0) -> Lane:
    """Open a lane.

    Args:
        path: Where the keeper's lane lies.
        outgoing: What to send.
        arena_bytes: Shared memory that each direction may take.

    Raises:
        BrokenStream: Nobody listens there.
    """
    where = f"the worker at {path}"
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(CONNECT_S)
    try:
        with lane.short(path) as name:
            sock.connect(name)
    except OSError as error:
        sock.close()
        raise _broken(f"{where} cannot be reached: {error.strerror or error}") from None
    sock.setblocking(False)
    opened = Lane(sock, outgoing, where)
    opened.arena_bytes = arena_bytes
    return opened


class Lane:
    """An open lane, as `stream.FrameStream`.

    Args:
        sock: Connected, non-blocking; the lane's own from now on.
        outgoing: What to send.
        where: The server in words.

    Attributes:
        arena_bytes: Shared memory that each direction may take.
    """

    def __init__(self, sock: socket.socket, outgoing: Outgoing, where: str) -> None:
        self._sock, self._outgoing, self._where = sock, outgoing, where
        self._pid, self.arena_bytes = os.getpid(), 0
        self._lock = threading.RLock()  # a signal handler may come while its own thread holds it
        self._reader, self._backlog = lane.LaneReader(), lane.Backlog()
        self._take: Callable[[bytes], None] | None = None
        self._error: Exception | None = None
        self._leader = 0
        self._polling = self._reading = self._sending = self._choked = False
        self._led = self._lingering = self._followed = False
        self._nudged, self._woken = (os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(2))
        self._poll, self._epoll = select.poll(), select.epoll()
        self._fd = sock.fileno()
        for fd in (self._fd, self._nudged):
            self._poll.register(fd, select.POLLIN)
        self._epoll.register(self._woken, _READABLE)
        self._epoll.register(self._fd, _READABLE)
        _open.add(self)

    def forsake(self) -> None:
        """Close what this process holds of it, without a word to the other side."""
        with self._lock:
            self._sock.close()
            if not self._epoll.closed:
                self._epoll.close()
                for fd in (self._nudged, self._woken):
                    os.close(fd)
        _open.discard(self)

    # ---- the stream's own thread --------------------------------------------------------------------------

    def serve(self, take: Callable[[bytes], None]) -> None:
        """Send and read whenever nobody else does, until the stream ends.

        Args:
            take: Takes each frame, in order, in whichever thread reads.

        Raises:
            BrokenStream: The stream has ended.
            Exception: What `take` raised.
        """
        self._take = take
        try:
            while self._error is None:
                self.flush()
                self._look(self._epoll.poll(LINGER_S if self._lingering else IDLE_S))
            raise self._error
        finally:
            self._take = None
            self._hang_up()

    def _hang_up(self) -> None:
        """Close it, once nobody is at it any more: all are told, and leave at once."""
        self.cancel()
        deadline_s = time.monotonic() + LEAVE_S
        while (self._reading or self._sending or self._leader) and time.monotonic() < deadline_s:
            time.sleep(0.001)
        self.forsake()

    def _look(self, found: list[tuple[int, int]]) -> None:
        masks = dict(found)
        if self._woken in masks:
            _drain(self._woken)
        mask = masks.get(self._fd, 0)
        if mask & _WRITABLE:
            self._choked = False
        back_soon, self._led = self._led and not self._followed, False
        readable = bool(mask & ~_WRITABLE)
        self._lingering = back_soon and (readable or self._lingering)
        if readable and not self._lingering and not self._leader:
            self._followed = False  # who is woken by this says so again
            self._alone("_reading", self._read)
        self._arm()

    def _arm(self) -> None:
        """Switch the socket on or off for the own thread."""
        with self._lock:
            mask = 0 if self._leader or self._lingering else _READABLE
            if not self._epoll.closed:
                self._epoll.modify(self._fd, mask | (_WRITABLE if self._choked else 0))

    # ---- whoever waits ------------------------------------------------------------------------------------

    def lead(self, ready: Callable[[], bool], deadline_s: float | None) -> bool:
        """Read for everyone until something is so, or the stream has ended.

        Args:
            ready: Tells whether it is so.
            deadline_s: When to give up, on `time.monotonic`; None for never.

        Returns:
            False where another thread leads, so that this one must be woken.

        Raises:
            RuntimeUnavailable: This process was forked from the one that opened the stream.
        """
        self._own_process()
        me, mine = threading.get_ident(), False
        try:
            with self._lock:
                if not self._leader and self._take is not None and self._error is None:
                    self._leader, mine = me, True
                else:
                    self._followed = True
                    # A signal handler of the leader's waits too: then the own thread reads.
                    self._leader = 0 if self._leader == me else self._leader
            self._arm()
            if mine:
                self._read_until(ready, deadline_s)
            return mine
        finally:
            if mine:
                self._leader, self._led = 0 if self._leader == me else self._leader, True
                self._arm()

    def nudge(self) -> None:
        """Let who leads look again, where it waits just now."""
        if self._polling:
            self._wake(self._nudged)

    def _read_until(self, ready: Callable[[], bool], deadline_s: float | None) -> None:
        while not ready() and self._error is None:
            left_ms = None if deadline_s is None else (deadline_s - time.monotonic()) * 1000
            if left_ms is not None and left_ms <= 0:
                return
            found = self._polled(ready, left_ms)
            if self._nudged in found:
                _drain(self._nudged)
            if self._fd in found:
                self._alone("_reading", self._read)

    def _polled(self, ready: Callable[[], bool], left_ms: float | None) -> dict[int, int]:
        self._polling = True
        try:
            # Looked at once more now that `nudge` would be heard.
            return {} if ready() or self._error is not None else dict(self._poll.poll(left_ms))
        finally:
            self._polling = False

    # ---- reading and sending ------------------------------------------------------------------------------

    def flush(self) -> None:
        """Send what waits, as much as the socket takes now. Safe in signal handlers and finalizers."""
        while (self._backlog or self._outgoing.pending) and not self._choked and self._error is None:
            if not self._alone("_sending", self._send):
                return  # who is at it looks again when it has done

    def cancel(self) -> None:
        """End the stream from this side; `serve` then ends with `BrokenStream`."""
        self._end(_broken(f"the stream to {self._where} was ended"))
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def _alone(self, flag: str, work: Callable[[], None]) -> bool:
        """Do work that only one thread does at a time; tell whether it was this one."""
        mine = False
        try:
            with self._lock:
                if not getattr(self, flag) and self._error is None:
                    mine = self.__dict__[flag] = True
            if mine:
                work()
        except BaseException:
            if mine:
                self.cancel()
            raise
        finally:
            if mine:
                self.__dict__[flag] = False
        return mine

    def _read(self) -> None:
        take = self._take
        try:
            for frame in self._reader.receive(self._sock) if take is not None else ():
                take(frame)  # type: ignore[misc]
        except BlockingIOError:
            return
        except (OSError, EOFError):
            self._end(_broken(f"{self._where} closed the stream"))
        except Exception as error:  # noqa: BLE001  whatever `take` raised is for its owner, whichever thread reads
            self._end(error)

    def _send(self) -> None:
        try:
            while self._backlog.send(self._sock):
                if not self._draw():
                    return
        except OSError:  # the reading side finds out why
            self._choked = True
            return
        self._choked = True
        self._arm()

    def _draw(self) -> bool:
        while self._backlog.size_bytes < _PORTION_BYTES and (frame := self._outgoing.draw()) is not None:
            self._backlog.add(frame)
        return bool(self._backlog)

    def _end(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
        self._wake(self._woken)
        self.nudge()

    def _wake(self, fd: int) -> None:
        with self._lock:
            if not self._epoll.closed:
                os.eventfd_write(fd, 1)

    def _own_process(self) -> None:
        if os.getpid() != self._pid:
            raise RuntimeUnavailable(
                f"the stream to {self._where} belongs to process {self._pid}; this one was forked from it",
                "use the session in the process that opened it",
            )


def _broken(message: str) -> BrokenStream:
    return BrokenStream(pb.Failure(code="unavailable", message=message, hint="run the cell again"))


def _drain(fd: int) -> None:
    with suppress(BlockingIOError):
        os.eventfd_read(fd)


_open: set[Lane] = set()
"""Lanes of this process; a forked child lets go of them, so that their end is seen when the parent's is closed."""


def _forsake_all() -> None:
    for left in list(_open):
        left._lock = threading.RLock()  # a thread that the child lacks may have held it
        left.forsake()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forsake_all)
