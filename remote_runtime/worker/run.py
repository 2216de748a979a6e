"""One run as the keeper knows it: what was asked, its log, its state, who follows it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from remote_runtime.wire import limits
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.worker.endings import Stop
from remote_runtime.worker.runlog import RunLog
from remote_runtime.worker.runstate import RunState, Step, advance

if TYPE_CHECKING:
    from remote_runtime.worker.client import Client
    from remote_runtime.worker.upload import Upload

LABEL_CHARACTERS = 80


class Run:
    """One run.

    Args:
        message: The request, whose bundle is only announced.
        log: Takes its events.
        at: When it was asked for, seconds since the epoch.
    """

    def __init__(self, message: pb.ToWorker, log: RunLog, at: float) -> None:
        asked = message.run
        self.run_id, self.request_id = asked.run_id, message.request_id
        self.timeout_s, self.background = asked.timeout_s, asked.background
        self.keep_s = asked.keep_s or limits.KEEP_S
        self.label = _label(asked.source)
        self.log = log
        self.state = RunState.QUEUED
        self.begun = False
        self.stop: Stop | None = None
        self.stopped_at = 0.0
        self.upload: Upload | None = None
        self.owner: Client | None = None
        self.followers: set[Client] = set()
        self.settled: WeakKeyDictionary[Client, int] = WeakKeyDictionary()
        self.timers: list[asyncio.TimerHandle] = []
        self.message = message
        self.status = ""
        self.started_at = at
        self._asked_s = time.monotonic()
        self._from_s: float | None = None  # monotonic: what is counted must not jump with the clock
        self._to_s: float | None = None

    def wake_followers(self) -> None:
        """Let every follower look for what is new, also those that have seen the end when something comes late."""
        for client, seq in list(self.settled.items()):
            client.follow(self, seq)
        for follower in list(self.followers):  # one that has the end leaves
            follower.wake()

    @property
    def arrived(self) -> bool:
        """Whether all its values have come."""
        return self.upload is None or self.upload.whole

    def step(self, step: Step) -> None:
        """Change its state.

        Raises:
            Failed: code "internal", for a step that the table does not have.
        """
        before, self.state = self.state, advance(self.state, step)
        if self.state is RunState.RUNNING:
            self._from_s = time.monotonic()
        elif self.state is RunState.ENDED is not before:
            self._to_s = time.monotonic()

    @property
    def active_s(self) -> float:
        """How long it has been active, up to now or to its end; 0 before it began."""
        if self._from_s is None:
            return 0.0
        return (time.monotonic() if self._to_s is None else self._to_s) - self._from_s

    @property
    def since_end_s(self) -> float | None:
        """How long ago it ended; None for one that has not."""
        return time.monotonic() - self._to_s if self._to_s is not None else None

    def info(self, session_id: str) -> pb.RunInfo:
        """Describe it as `RunInfo`."""
        now, begun_s = time.monotonic(), self._asked_s if self._from_s is None else self._from_s
        running = "queued" if self.state is RunState.QUEUED else "running"
        return pb.RunInfo(
            run_id=self.run_id,
            state=self.status or running,
            label=self.label,
            started_at=self.started_at,
            elapsed_s=(now if self._to_s is None else self._to_s) - begun_s,
            age_s=now - begun_s,
            event_count=self.log.last_seq,
            background=self.background,
            session_id=session_id,
        )


@dataclass
class Ending:
    """An End whose bundle is still arriving."""

    event: pb.Event
    rest_bytes: int
    pieces: list[bytes] = field(default_factory=list)


def _label(source: str) -> str:
    """Return the first line that says something; a comment on line 1 stands for the magic's own."""
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    return next((line for line in lines if not line.startswith("#")), lines[0] if lines else "")[:LABEL_CHARACTERS]
