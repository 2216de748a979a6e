"""The numbered events of runs: what is kept, cut, replayed and forgotten. Pure: no clock, no I/O.

    event --append--> numbered Entry --after(seq)--> each follower, at its own pace
                      the End      --seals--------> what comes late is numbered on, on a shelf of its own

A follower keeps a number, not a queue: a slow client costs no memory beyond the log itself, and the log is
bounded. Stream text beyond the output limit, and anything beyond the log's own bound, is dropped and counted;
one Cut before the End tells the count. What was trimmed from the front after it was acknowledged shows as a
Cut on a later replay. What comes late has a smaller bound: it may go on for days.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from remote_runtime.wire import frames, limits
from remote_runtime.wire import messages_pb2 as pb

ENTRY_BYTES = 256
"""What one entry costs beside its frames; a million one-letter events are bounded too."""

LATE_BYTES = limits.FRAME_LIMIT_BYTES
"""Late events of one run that are kept; the oldest that were acknowledged go first."""

_NUMBER_BYTES = 40
"""What number, time and envelope add to an event at most."""

FORGOTTEN_COUNT = 10_000
"""Ids of forgotten runs that are remembered, so that none of them is run a second time."""


@dataclass(frozen=True)
class Bounds:
    """How much is kept.

    Args:
        output_bytes: Stream text of one run.
        keep_bytes: All logs of one worker. The newest ended run's log and the End of a running one may exceed
            it.
    """

    output_bytes: int = limits.OUTPUT_LIMIT_BYTES
    keep_bytes: int = limits.LOG_KEEP_BYTES


@dataclass(frozen=True)
class Entry:
    """One event as it travels.

    Args:
        seq: Its number, from 1.
        frames: The control frame, then the data frames of an End.
        size_bytes: Memory it takes, shared memory included.
        shared: Whether values of an End lie in shared memory; then `ledger.Ledger.delivered` must send it.
    """

    seq: int
    frames: tuple[bytes, ...]
    size_bytes: int
    shared: bool = False


class _Shelf:
    """Entries with numbers in a row, of which the first may have been let go.

    Args:
        run_id: Whose.
        after_seq: Number before its first.
    """

    def __init__(self, run_id: str, after_seq: int = 0) -> None:
        self.last_seq, self.size_bytes = after_seq, 0
        self._run_id = run_id
        self._entries: deque[Entry] = deque()
        self._trimmed = pb.Cut()

    def add(self, entry: Entry) -> None:
        """Put an entry behind the last."""
        self._entries.append(entry)
        self.last_seq = entry.seq
        self.size_bytes += entry.size_bytes

    def after(self, seq: int) -> Entry:
        """Return the entry that follows a number below the last; where it is gone, a Cut for all that are."""
        first = self.last_seq - len(self._entries) + 1
        if seq + 1 >= first:
            return self._entries[seq + 1 - first]
        cut = pb.Event(run_id=self._run_id, seq=first - 1, cut=self._trimmed)
        return Entry(first - 1, (frames.control(pb.FromWorker(event=cut)),), 0)

    def trim(self, seq: int) -> None:
        """Let go of the entries up to a number."""
        while self._entries and self._entries[0].seq <= seq:
            entry = self._entries.popleft()
            self.size_bytes -= entry.size_bytes
            self._trimmed.dropped_bytes += entry.size_bytes - ENTRY_BYTES


class RunLog:
    """The events of one run.

    Args:
        run_id: Whose.
        bounds: How much is kept.
    """

    def __init__(self, run_id: str, bounds: Bounds = Bounds()) -> None:
        self.run_id = run_id
        self.ended = False
        self.acked_seq = self.end_seq = 0
        self._bounds = bounds
        self._main = self._shelf = _Shelf(run_id)
        self._shown_bytes = self._told_bytes = 0
        self._cutting = False
        self._lost = pb.Cut()

    @property
    def last_seq(self) -> int:
        """Number of the last event, late ones included."""
        return self._shelf.last_seq

    @property
    def size_bytes(self) -> int:
        """Memory that the events take."""
        return self._main.size_bytes + (self._shelf.size_bytes if self.ended else 0)

    def append(self, event: pb.Event, at: float, rest: Sequence[bytes] = ()) -> bool:
        """Number, stamp and keep an event.

        Args:
            event: Changed in place.
            at: Seconds since the epoch.
            rest: The data frames of an End's bundle.

        Returns:
            Whether followers have something new to read.
        """
        if event.WhichOneof("body") == "end":
            return self._end(event, at, rest)
        if self._admit(event):
            self._store(event, at)
            return True
        return self.ended and self._tell_late_cut(at)

    def after(self, seq: int) -> Entry | None:
        """Return the event that follows a number, None when there is none yet.

        Where events were trimmed, a Cut numbered like the last of them stands for all.
        """
        if seq >= self.last_seq:
            return None
        return (self._shelf if self.ended and seq >= self.end_seq else self._main).after(seq)

    def ack(self, seq: int) -> None:
        """Note that everything up to a number has been shown."""
        self.acked_seq = max(self.acked_seq, min(seq, self.last_seq))

    @property
    def acknowledged(self) -> bool:
        """Whether the run has ended and all of it has been shown; what comes late does not count."""
        return self.ended and self.acked_seq >= self.end_seq

    def trim(self) -> None:
        """Let go of what has been acknowledged, but of nothing else; the End of a run stays."""
        self._shelf.trim(self.acked_seq)

    def shed(self) -> None:
        """Let go of everything that is there; what comes late is numbered on."""
        self._main.trim(self.end_seq)
        self._shelf.trim(self.last_seq)

    def _end(self, event: pb.Event, at: float, rest: Sequence[bytes]) -> bool:
        if self.ended:
            return False
        if self._lost.dropped_bytes:
            self._store(self._cut(), at)
        self._store(event, at, rest)
        self.ended, self.end_seq, self._lost = True, self.last_seq, pb.Cut()
        self._shelf = _Shelf(self.run_id, self.end_seq)
        return True

    def _store(self, event: pb.Event, at: float, rest: Sequence[bytes] = ()) -> None:
        event.seq, event.at = self.last_seq + 1, at
        self._shelf.add(_entry(event, rest))

    def _admit(self, event: pb.Event) -> bool:
        """Cut an event to what may still be kept; tell whether anything of it is left."""
        if event.HasField("stream"):
            self._cut_text(event.stream)
            if not event.stream.text:
                return False
        if self._fits(event):
            return True
        text = event.stream.text if event.HasField("stream") else ""
        self._count(len(text.encode()) if text else event.ByteSize(), text.count("\n"), event.stream.stderr)
        self._shown_bytes -= len(text.encode())
        return False

    def _fits(self, event: pb.Event) -> bool:
        size_bytes = event.ByteSize() + _NUMBER_BYTES + ENTRY_BYTES
        most_bytes = min(LATE_BYTES, self._bounds.keep_bytes) if self.ended else self._bounds.keep_bytes
        if self._shelf.size_bytes + size_bytes > most_bytes:
            self.trim()
        return self._shelf.size_bytes + size_bytes <= most_bytes

    def _cut_text(self, stream: pb.Stream) -> None:
        raw = stream.text.encode()
        room = 0 if self._cutting else self._bounds.output_bytes - self._shown_bytes
        if len(raw) > room:
            self._cutting = True
            kept = raw[:room].decode(errors="ignore")
            lost = raw[len(kept.encode()) :]
            self._count(len(lost), lost.count(b"\n"), stream.stderr)
            stream.text, raw = kept, raw[: len(raw) - len(lost)]
        self._shown_bytes += len(raw)

    def _count(self, dropped_bytes: int, dropped_lines: int, stderr: bool) -> None:
        self._lost.stderr = stderr and (self._lost.stderr or not self._lost.dropped_bytes)
        self._lost.dropped_bytes += dropped_bytes
        self._lost.dropped_lines += dropped_lines

    def _cut(self) -> pb.Event:
        self._lost.shown_bytes = self._shown_bytes
        return pb.Event(run_id=self.run_id, cut=self._lost)

    def _tell_late_cut(self, at: float) -> bool:
        """Tell what is lost of what comes late: when it begins, and each time it has doubled."""
        if self._lost.dropped_bytes <= 2 * self._told_bytes:
            return False
        self._told_bytes = self._lost.dropped_bytes
        self._store(self._cut(), at)
        return True


def _entry(event: pb.Event, rest: Sequence[bytes] = ()) -> Entry:
    whole = (frames.control(pb.FromWorker(event=event)), *rest)
    shared_bytes = sum(block.size_bytes for block in event.end.bundle.blocks)
    return Entry(event.seq, whole, sum(map(len, whole)) + shared_bytes + ENTRY_BYTES, shared_bytes > 0)


class Forgotten:
    """Ids of runs whose log is gone, the latest of them."""

    def __init__(self, most: int = FORGOTTEN_COUNT) -> None:
        self._ids: dict[str, None] = {}
        self._most = most

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._ids

    def add(self, run_id: str) -> None:
        """Remember one more, and let go of the oldest."""
        self._ids[run_id] = None
        for oldest in list(islice(self._ids, max(0, len(self._ids) - self._most))):
            del self._ids[oldest]


def surplus(logs: Sequence[RunLog], keep_bytes: int) -> list[RunLog]:
    """Choose the logs to forget so that the rest fits.

    Ended runs that were acknowledged go first, then the other ended ones, oldest first. The newest ended run
    stays until it is acknowledged, whatever its size: it may be on its way to its client just now.

    Args:
        logs: Oldest first.
        keep_bytes: What may stay.
    """
    over = sum(log.size_bytes for log in logs) - keep_bytes
    if over <= 0:
        return []
    ended = [log for log in logs if log.ended]
    unread = [log for log in ended[:-1] if not log.acknowledged]
    chosen = []
    for log in [log for log in ended if log.acknowledged] + unread:
        if over <= 0:
            break
        chosen.append(log)
        over -= log.size_bytes
    return chosen
