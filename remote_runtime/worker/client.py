"""One attached client: what it shall get, at its own pace, and what it is sending.

    replies ----> outbox --> outgoing --> frames, drawn by the transport as its client takes them
    run's log --> cursor --> outgoing
    news of shared memory --> outgoing, before what needs it

Events are read from the log when the client is ready for them, so a slow client holds nothing but a number
and slows nobody. Replies wait in the outbox; whoever fills it for long looks at `full`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from remote_runtime.wire import frames, limits
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.lane import Laden
from remote_runtime.worker.handing import Delivery
from remote_runtime.worker.ledger import Ledger
from remote_runtime.worker.run import Run
from remote_runtime.worker.runlog import Entry
from remote_runtime.worker.upload import Upload

GROUP_BYTES = 256 * limits.KIB
"""Events up to this size together travel as one message."""

OUTBOX_BYTES = 8 * limits.MIB
"""Replies beyond this stop their source until the client has taken some."""


@dataclass
class _Cursor:
    run: Run
    seq: int


class Client:
    """An attached client; a `ledger.Party`.

    Args:
        hello: Its first message.
        clock: Seconds, monotonic.
        ledger: The session's account of shared memory.

    Attributes:
        on_wake: Called when there may be something to send; the transport's.
        groups: Whether several small frames may go as one.
        takes_fds: Whether descriptors can travel to it.
    """

    def __init__(self, hello: pb.Hello, clock: Callable[[], float], ledger: Ledger) -> None:
        self.name, self.groups = hello.client, hello.groups
        self._arena_bytes, self._ledger = hello.arena_bytes, ledger
        self.uploads: dict[int, Upload] = {}
        self.room: Callable[[], None] = lambda: None
        self.moved_at = clock()
        self.on_wake: Callable[[], None] = lambda: None
        self.takes_fds = False
        self._clock = clock
        self._heralds: deque[bytes] = deque()
        self._delivery: Delivery | None = None
        self._outbox: deque[bytes | Delivery] = deque()
        self._outbox_bytes = 0
        self._reply_rest_bytes = 0
        self._cursors: dict[str, _Cursor] = {}
        self._leaving = False
        self.gone = asyncio.Event()

    @property
    def full(self) -> bool:
        """Whether it has more replies to take than it should."""
        return self._outbox_bytes > OUTBOX_BYTES

    @property
    def backlogged(self) -> bool:
        """Whether replies wait for it."""
        return bool(self._outbox)

    def wake(self) -> None:
        """Look again for something to send."""
        self.on_wake()

    def reply(self, message: pb.FromWorker) -> None:
        """Send a message; events do not come this way."""
        self.pass_on(frames.control(message), frames.awaits_data(message))

    def refuse(self, request_id: int, failed: Failed) -> None:
        """Send a failure."""
        found = pb.Failure(code=failed.code, message=failed.message, hint=failed.hint, detail=dict(failed.detail))
        self.reply(pb.FromWorker(request_id=request_id, failure=found))

    @property
    def share_bytes(self) -> int:
        """How much shared memory may be used towards it; 0 where it cannot map any."""
        return self._arena_bytes if self.takes_fds and not self.gone.is_set() else 0

    @property
    def takes_memory(self) -> bool:
        """See `ledger.Party`."""
        return self.share_bytes > 0

    def hear_segment(self, segment: pb.Segment, fd: int | None) -> None:
        """See `ledger.Party`."""
        frame = frames.control(pb.FromWorker(segment=segment))
        self._herald(frame if fd is None else Laden(frame, [fd]))

    def hear_freed(self, freed: pb.Freed) -> None:
        """See `ledger.Party`."""
        self._herald(frames.control(pb.FromWorker(freed=freed)))

    def _herald(self, frame: bytes) -> None:
        if not self.gone.is_set():
            self._heralds.append(frame)
            self.on_wake()

    def pass_on(self, frame: bytes, data_bytes: int = 0) -> None:
        """Send a reply's frame as it is.

        Args:
            frame: Control or data.
            data_bytes: How much data follows it; until that is sent no event comes between.
        """
        if self.gone.is_set():
            return
        self._outbox.append(frame)
        self._outbox_bytes += len(frame)
        if frames.is_data(frame):
            self._reply_rest_bytes -= frames.piece(frame).content.nbytes
        self._reply_rest_bytes += data_bytes
        self.on_wake()

    def deliver(self, delivery: Delivery) -> None:
        """Send a reply whose values lie in shared memory that did not reach this client."""
        if self.gone.is_set():
            return delivery.close()
        self._outbox.append(delivery)
        return self.on_wake()

    def follow(self, run: Run, after_seq: int) -> None:
        """Send a run's events, from the one after a number to its End, and what comes late as it comes."""
        run.settled.pop(self, None)
        if self._leaving:
            return
        if run.log.ended and after_seq >= run.log.last_seq:
            run.settled[self] = after_seq
            return
        self._cursors[run.run_id] = _Cursor(run, after_seq)
        run.followers.add(self)
        self.on_wake()

    def unfollow(self, run: Run) -> None:
        """Send nothing more of a run."""
        self._cursors.pop(run.run_id, None)
        run.followers.discard(self)

    def follows(self, run: Run) -> bool:
        """Tell whether a run's events are on their way already."""
        return run.run_id in self._cursors

    def leave(self) -> None:
        """Let `outgoing` end once everything is sent, and follow nothing any more."""
        for cursor in list(self._cursors.values()):
            self.unfollow(cursor.run)
        self._leaving = True
        self.on_wake()

    def close(self) -> None:
        """Drop what it has not taken: its stream is gone, or shall go."""
        self.gone.set()
        for left in [self._delivery, *self._outbox]:
            if isinstance(left, Delivery):
                left.close()
        self._outbox.clear()
        self._heralds.clear()
        self._outbox_bytes = 0
        self.leave()
        self.room()

    def outgoing(self) -> Iterator[bytes | None]:
        """Yield what to send: each frame once the one before was taken, None when there is nothing just now.

        Ends when the client has left and has everything.
        """
        while True:
            if self._heralds:
                yield self._heralds.popleft()
            elif self._outbox:
                yield from self._replies()
            elif self._reply_rest_bytes > 0 and not self._leaving:
                yield None  # the rest of a reply first: an event between its frames could carry the same bundle id
            elif due := [(cursor, found) for cursor in self._cursors.values() if (found := self._due(cursor))]:
                for cursor, entries in due:
                    yield from self._entries(cursor, entries)
            elif self._leaving:
                return
            else:
                yield None

    def _replies(self) -> Iterator[bytes]:
        frame = self._outbox.popleft()
        if isinstance(frame, Delivery):
            self._delivery = frame
            yield from self._delivered(frame)
            return
        yield frame
        self._outbox_bytes -= len(frame)
        self.moved_at = self._clock()
        if not self.full:
            self.room()

    def _due(self, cursor: _Cursor) -> list[Entry]:
        """Return the next events that can go as one message: one, where the client takes no groups."""
        log = cursor.run.log
        entry = log.after(cursor.seq)
        due = [entry] if entry is not None else []
        size_bytes = 0
        while entry is not None and self.groups and size_bytes < GROUP_BYTES:
            size_bytes += entry.size_bytes
            entry = log.after(entry.seq)
            if due[-1].frames[1:] or due[-1].shared or (entry is not None and entry.shared):
                break
            if entry is not None:
                due.append(entry)
        return due

    def _entries(self, cursor: _Cursor, entries: list[Entry]) -> Iterator[bytes]:
        last = entries[-1]
        if last.shared:  # alone in its group; its run may be forgotten once nobody follows it
            self._delivery = Delivery(self._ledger, last.frames, self)
        self._advance(cursor, last.seq)  # before it is sent: who has the End may ask for the run again at once
        if last.shared:
            yield from self._delivered(self._delivery)
        else:
            yield frames.grouped([entry.frames[0] for entry in entries])
            yield from last.frames[1:]  # only an End has data frames, and it is the last of its group
        self.moved_at = self._clock()

    def _delivered(self, delivery: Delivery) -> Iterator[bytes]:
        for frame in delivery.frames():
            while self._heralds:
                yield self._heralds.popleft()
            yield frame
            self.moved_at = self._clock()

    def _advance(self, cursor: _Cursor, seq: int) -> None:
        cursor.seq, run = seq, cursor.run
        if run.log.ended and seq >= run.log.last_seq and self._cursors.get(run.run_id) is cursor:
            self.unfollow(run)
            if not self._leaving:
                run.settled[self] = seq
