"""One attached client: what it shall get, at its own pace, and what it is sending.

    replies ----> outbox --> pump --> stream of frames
    run's log --> cursor --> pump

Events are read from the log when the client is ready for them, so a slow client holds nothing but a number
and slows nobody. Replies wait in the outbox; whoever fills it for long looks at `full`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from remote_runtime.wire import frames, limits
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
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
    """An attached client.

    Args:
        hello: Its first message.
        write: Sends one frame; waits as long as the client is slow.
        clock: Seconds, monotonic.
    """

    def __init__(self, hello: pb.Hello, write: Callable[[bytes], Awaitable[None]], clock: Callable[[], float]) -> None:
        self.name, self._groups = hello.client, hello.groups
        self.uploads: dict[int, Upload] = {}
        self.room: Callable[[], None] = lambda: None
        self.moved_at = clock()
        self._write, self._clock = write, clock
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._reply_rest_bytes = 0
        self._cursors: dict[str, _Cursor] = {}
        self._wake = asyncio.Event()
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
        self._wake.set()

    def reply(self, message: pb.FromWorker) -> None:
        """Send a message; events do not come this way."""
        self.pass_on(frames.control(message), frames.awaits_data(message))

    def refuse(self, request_id: int, failed: Failed) -> None:
        """Send a failure."""
        found = pb.Failure(code=failed.code, message=failed.message, hint=failed.hint, detail=dict(failed.detail))
        self.reply(pb.FromWorker(request_id=request_id, failure=found))

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
        self._wake.set()

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
        self._wake.set()

    def unfollow(self, run: Run) -> None:
        """Send nothing more of a run."""
        self._cursors.pop(run.run_id, None)
        run.followers.discard(self)

    def follows(self, run: Run) -> bool:
        """Tell whether a run's events are on their way already."""
        return run.run_id in self._cursors

    def leave(self) -> None:
        """Let the pump end once everything is sent, and follow nothing any more."""
        for cursor in list(self._cursors.values()):
            self.unfollow(cursor.run)
        self._leaving = True
        self._wake.set()

    def close(self) -> None:
        """Drop what it has not taken: its stream is gone, or shall go."""
        self.leave()
        self.gone.set()
        self._outbox.clear()
        self._outbox_bytes = 0
        self.room()

    async def pump(self) -> None:
        """Send until the client leaves."""
        while True:
            sent = await self._send_outbox() or await self._send_events()
            if sent:
                continue
            if self._leaving:
                return
            self._wake.clear()
            await self._wake.wait()

    async def _send_outbox(self) -> bool:
        if not self._outbox:
            return self._reply_rest_bytes > 0 and not self._leaving and await self._more()
        frame = self._outbox.popleft()
        await self._write(frame)
        self._outbox_bytes -= len(frame)
        self.moved_at = self._clock()
        if not self.full:
            self.room()
        return True

    async def _more(self) -> bool:
        """Wait for the rest of a reply: an event between its frames could carry the same bundle id."""
        self._wake.clear()
        await self._wake.wait()
        return True

    async def _send_events(self) -> bool:
        sent = False
        for cursor in list(self._cursors.values()):
            entries = self._due(cursor)
            if entries:
                await self._send_entries(cursor, entries)
                sent = True
        return sent

    def _due(self, cursor: _Cursor) -> list[Entry]:
        """Return the next events that can go as one message: one, where the client takes no groups."""
        log = cursor.run.log
        entry = log.after(cursor.seq)
        due = [entry] if entry is not None else []
        size_bytes = 0
        while entry is not None and self._groups and size_bytes < GROUP_BYTES:
            size_bytes += entry.size_bytes
            entry = log.after(entry.seq)
            if due[-1].frames[1:]:
                break
            if entry is not None:
                due.append(entry)
        return due

    async def _send_entries(self, cursor: _Cursor, entries: list[Entry]) -> None:
        last = entries[-1]
        self._advance(cursor, last.seq)  # before sending: who has the End may ask for the run again at once
        await self._write(frames.grouped([entry.frames[0] for entry in entries]))
        for frame in last.frames[1:]:  # only an End has data frames, and it is the last of its group
            await self._write(frame)
        self.moved_at = self._clock()

    def _advance(self, cursor: _Cursor, seq: int) -> None:
        cursor.seq, run = seq, cursor.run
        if run.log.ended and seq >= run.log.last_seq and self._cursors.get(run.run_id) is cursor:
            self.unfollow(run)
            if not self._leaving:
                run.settled[self] = seq
