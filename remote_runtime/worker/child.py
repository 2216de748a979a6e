"""The keeper's handle on one user process: its socket, its pipes, its shared tail of text, its signals, its
death.

    write(frame) --socket pair--> user process
                                  --socket pair--> Listener.said(message), .piece(frame)
                                  --fds 1 and 2--> Listener.printed(text, stderr)
    dead: what was left in socket, pipes and tail, then Listener.died(death)

Everything that the user process had flushed reaches the listener before the death does, exactly once: text
waits in memory that both share, under a running offset that each Stream event repeats as its `seq`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from remote_runtime.wire import frames, limits
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.lane import Laden, LaneReader, close_all, fds_of
from remote_runtime.wire.stock import Stock
from remote_runtime.worker import cgroup
from remote_runtime.worker.endings import CHANNEL, MEMORY, Death
from remote_runtime.worker.footprint import Footprint
from remote_runtime.worker.outlet import Outlet
from remote_runtime.worker.pipe import Pipe

TAIL_BYTES = 64 * limits.KIB
TAIL_HEAD = struct.Struct("<QIB3x")
"""Running offset of the first byte, length, whether it is stderr; the text follows."""

_RECEIVES_AT_ONCE = 8
_SOCKET_BYTES = limits.MIB
_REPORT_S = 0.5
_HANG_UP_S = 0.2

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Who hears from a user process."""

    def ready(self, child: Child) -> None:
        """Called once, when it waits for its first frame."""

    def said(self, child: Child, message: pb.FromWorker) -> None:
        """Called for each control message."""

    def piece(self, child: Child, frame: bytes) -> None:
        """Called for each data frame."""

    def segment(self, child: Child, segment: pb.Segment, fd: int | None) -> None:
        """Called for each file of shared memory that came or went; the descriptor is the listener's."""

    def freed(self, child: Child, freed: pb.Freed) -> None:
        """Called when it no longer uses shared memory."""

    def printed(self, child: Child, text: str, stderr: bool) -> None:
        """Called for text that came by file descriptor, or was found in the tail."""

    def died(self, child: Child, death: Death) -> None:
        """Called once, as the last call."""


class Child:
    """One user process, from before its fork to after its death; a `ledger.Party`.

    Args:
        loop: Where it is watched.
        listener: Who hears from it.

    Attributes:
        stock: Contents that it holds.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, listener: Listener) -> None:
        self._loop, self._listener = loop, listener
        self._pidfd: int | None = None
        self._death = Death()
        self._cgroup = cgroup.Watch()
        self._gone = self._told = self._paused = self._doomed = False
        self._reported = False
        self._shown_offset = 0
        self._reader = LaneReader()
        self.stock = Stock()
        self.pid = 0
        self.footprint: Footprint | None = None

    def open(self) -> tuple[int, ...]:
        """Make socket, pipes and tail, and listen.

        Returns:
            What the user process gets: channel, stdout, stderr, tail. The caller closes them once they are
            sent.

        Raises:
            OSError: The system has no descriptor left.
        """
        self._sock, theirs = socket.socketpair()
        for end in (self._sock, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
        self._sock.setblocking(False)
        self.outlet = Outlet(self._sock, self._loop)
        self._tail = os.memfd_create("warmcell-tail", os.MFD_CLOEXEC)
        os.ftruncate(self._tail, TAIL_BYTES)
        self._pipes = tuple(Pipe(self._loop, self._printed, stderr) for stderr in (False, True))
        self._loop.add_reader(self._sock, self._read)
        return theirs.detach(), *(pipe.open() for pipe in self._pipes), os.dup(self._tail)

    def started(self, pid: int, pidfd: int | None) -> None:
        """Take the news that the zygote has forked it."""
        self.pid, self._pidfd = pid, pidfd
        self.footprint = Footprint(pid)
        if pidfd is not None:
            self._loop.add_reader(pidfd, self._ended)
        if self._doomed:
            self.kill(self._death.why)

    def exited(self, code: int | None, number: int | None, peak_bytes: int | None = None) -> None:
        """Take the news that the zygote has seen it end.

        Args:
            code: Exit status, None where a signal ended it.
            number: That signal.
            peak_bytes: Most memory it held, as the system tells its parent.
        """
        self._reported = True
        self._death = replace(self._death, code=code, signal=number)
        if number == signal.SIGKILL and not self._death.why and self._cgroup.has_killed():
            self._death = replace(self._death, why=MEMORY, limit_bytes=self._cgroup.limit_bytes())
        self._ended()
        most = [size for size in (self._death.peak_bytes, peak_bytes) if size]
        self._death = replace(self._death, peak_bytes=max(most, default=None))
        self._tell()

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Send the first frame: where it works, on what, for whom."""
        self.outlet.write(json.dumps(settings).encode())

    def write(self, frame: bytes) -> None:
        """Send a control frame."""
        self.outlet.write(frame)

    takes_memory = True

    def hear_segment(self, segment: pb.Segment, fd: int | None) -> None:
        """See `ledger.Party`."""
        frame = frames.control(pb.ToWorker(segment=segment))
        self.write(frame if fd is None else Laden(frame, [fd]))

    def hear_freed(self, freed: pb.Freed) -> None:
        """See `ledger.Party`."""
        self.write(frames.control(pb.ToWorker(freed=freed)))

    def write_piece(self, piece: frames.Piece, bundle_id: int) -> None:
        """Send a data frame under another bundle id."""
        self.outlet.write_parts(*frames.framed_piece(piece, bundle_id))

    def pause(self, paused: bool) -> None:
        """Stop or go on listening to its socket, while whoever must take its data cannot."""
        if paused == self._paused or self._gone:
            return
        self._paused = paused
        if paused:
            self._loop.remove_reader(self._sock)
        else:
            self._loop.add_reader(self._sock, self._read)

    def drain(self) -> None:
        """Take what C code and subprocesses have written so far, without waiting for more."""
        for pipe in self._pipes:
            pipe.drain()

    def interrupt(self) -> None:
        """Send SIGINT to the process itself, not to its group."""
        self._send(signal.SIGINT)

    def kill(self, why: str, limit_bytes: int = 0) -> None:
        """Kill the whole process group; the death follows.

        Args:
            why: Goes into the death; the first reason stays.
            limit_bytes: The limit that it passed, where that is the reason.
        """
        if not self._doomed:
            self._death = replace(self._death, why=why, limit_bytes=limit_bytes)
        self._doomed = True
        self._send(signal.SIGKILL)
        self._kill_group()

    def abandon(self) -> None:
        """Give up on a process that does not even die of SIGKILL: close all and tell its death."""
        self._ended()
        self._tell()

    def discard(self) -> None:
        """Close all without a word to the listener: it never came to life."""
        self._gone = self._told = True
        self._loop.remove_reader(self._sock)
        self._close()

    def _send(self, number: signal.Signals) -> None:
        if not self.pid or self._gone:
            return
        with suppress(ProcessLookupError):
            if self._pidfd is not None:
                signal.pidfd_send_signal(self._pidfd, number)
            else:
                os.kill(self.pid, number)

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            if self.pid:
                os.killpg(self.pid, signal.SIGKILL)

    def _read(self) -> None:
        for _ in range(_RECEIVES_AT_ONCE):
            if not self._receive() or self._paused or not self._reader.has_more:
                return

    def _receive(self) -> bool:
        """Take one portion; tell whether there may be more."""
        try:
            received = self._reader.receive(self._sock)
        except BlockingIOError:
            return False
        except (OSError, EOFError):
            self._hung_up()
            return False
        except Failed as torn:  # nothing after this can be read
            log.error("user process %s: %s", self.pid, torn)
            self._hung_up()
            return False
        for frame in received:
            self._take(frame)
        return not self._told

    def _take(self, frame: bytes) -> None:
        if frames.is_data(frame):
            return self._listener.piece(self, frame)
        if frame[:1] == b"{":
            return self._listener.ready(self)
        try:
            message = frames.parse(pb.FromWorker, frame)
        except Failed as torn:  # user code can write to any descriptor; one bad frame ends nothing
            return log.warning("user process %s: %s", self.pid, torn)
        try:
            self._tell_listener(message, fds_of(frame))
        except Failed as torn:  # its account of shared memory is wrong: another value might be written over
            log.error("user process %s: %s", self.pid, torn)
            self.kill(CHANNEL)
        return None

    def _tell_listener(self, message: pb.FromWorker, fds: list[int]) -> None:
        body = message.WhichOneof("body")
        if body == "segment":
            return self._listener.segment(self, message.segment, fds.pop() if fds else None)
        close_all(fds)
        if body == "freed":
            return self._listener.freed(self, message.freed)
        if body == "stock":
            self.stock.take(message.stock)
        elif message.event.HasField("stream"):
            self._shown_offset = message.event.seq + len(message.event.stream.text.encode())
        return self._listener.said(self, message)

    def _hung_up(self) -> None:
        self._loop.remove_reader(self._sock)
        self._paused = True
        self._loop.call_later(_HANG_UP_S, self._kill_silent)

    def _kill_silent(self) -> None:
        if not self._gone:
            self.kill(CHANNEL)
            self._loop.call_later(_REPORT_S, self.abandon)

    def _printed(self, text: str, stderr: bool) -> None:
        self._listener.printed(self, text, stderr)

    def _ended(self) -> None:
        if self._gone:
            return
        self._gone = True
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
        if self.footprint is not None:
            self._death = replace(self._death, peak_bytes=self.footprint.peak_bytes())
        self._empty()
        self._kill_group()
        self._loop.call_later(0 if self._reported else _REPORT_S, self._tell)

    def _empty(self) -> None:
        self._loop.remove_reader(self._sock)
        while self._receive():
            pass
        self.drain()
        self._show_tail()

    def _show_tail(self) -> None:
        start, length, stderr = TAIL_HEAD.unpack(os.pread(self._tail, TAIL_HEAD.size, 0))
        raw = os.pread(self._tail, min(length, TAIL_BYTES - TAIL_HEAD.size), TAIL_HEAD.size)
        fresh = raw[max(0, self._shown_offset - start) :]
        if fresh:
            self._printed(fresh.decode(errors="replace"), bool(stderr))

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            self._close()
            self._listener.died(self, self._death)

    def _close(self) -> None:
        self.outlet.close()
        self._reader.close()
        if self.footprint is not None:
            self.footprint.close()
        self._sock.close()
        for pipe in self._pipes:
            pipe.close()
        for fd in (self._tail, self._pidfd):
            if fd is not None:
                os.close(fd)
