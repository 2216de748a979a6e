"""What a session has asked for and not yet got: its live runs and open requests. No I/O happens here.

    FromWorker -> take    -> events to their runs, replies to their requests
    Welcome    -> resume  -> what to send on a new stream, so that nothing is lost and nothing happens twice
    Failure    -> give_up -> one end for every run, one error for every request
    an event after a run's end -> on_late, each once and in order

Everything on its way can be rebuilt from here, so a stream that breaks is simply thrown away.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from kernel_proxy.bell import Bell
from kernel_proxy.errors import WarmcellError, from_failure
from kernel_proxy.parcels import Parcel
from kernel_proxy.runs import RunStream
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import EVICTED
from remote_runtime.wire.frames import Whole
from remote_runtime.wire.stock import Stock

Reply = Whole[pb.FromWorker]

LATE_RUNS_COUNT = 200
"""Ended runs of which late events are still asked for on a new stream; the latest ones."""


class Answer:
    """The reply to one request, once it is there."""

    def __init__(self) -> None:
        self.bell = Bell()
        self._reply: Reply | None = None
        self._error: WarmcellError | None = None

    def ready(self) -> bool:
        """Tell whether it is there."""
        return self._reply is not None or self._error is not None

    def give(self, reply: Reply) -> None:
        """Take the reply."""
        self._reply = reply
        self.bell.ring()

    def refuse(self, error: WarmcellError) -> None:
        """Take a refusal."""
        self._error = error
        self.bell.ring()

    def result(self) -> Reply:
        """Return the reply, which is there.

        Raises:
            WarmcellError: The request was refused.
        """
        if self._reply is None:
            raise self._error or WarmcellError("a reply was read before it was there")
        return self._reply


class Exchange:
    """The open requests and live runs of one session.

    Args:
        on_notice: Called with each notice, by the thread that reads the stream just then.
        on_late: Called with each event that comes after its run's end, by that thread too.

    Attributes:
        lock: Held while something is registered and sent, so that a new stream takes over in between.
            Its holder can take it again: a signal handler may interrupt a run that is just being sent.
        alive: Names that the session holds, as of the last end.
        stock: Contents that it holds, as it told last.
    """

    def __init__(self, on_notice: Callable[[pb.Notice], None], on_late: Callable[[pb.Event], None]) -> None:
        self.lock = threading.RLock()
        self.alive: set[str] = set()
        self.stock = Stock()
        self.lost: pb.Failure | None = None
        self._on_notice, self._on_late = on_notice, on_late
        self._late_seqs: dict[str, int] = {}
        self._ids = itertools.count(1)
        self._runs: dict[str, list[RunStream]] = {}
        self._refusable: dict[int, RunStream] = {}
        self._requests: dict[int, tuple[Parcel, Answer]] = {}

    def number(self, message: pb.ToWorker) -> pb.ToWorker:
        """Give a message its request id."""
        message.request_id = next(self._ids)
        return message

    def expect(self, parcel: Parcel) -> Answer:
        """Register a request."""
        answer = Answer()
        self._requests[parcel.message.request_id] = parcel, answer
        return answer

    def forget(self, parcel: Parcel) -> None:
        """Stop waiting for a reply; when it comes, it is dropped."""
        self._requests.pop(parcel.message.request_id, None)

    def watch(self, run: RunStream) -> None:
        """Register a run whose events are to be passed on."""
        self._runs.setdefault(run.run_id, []).append(run)
        self._refusable[run.parcel.message.request_id] = run

    def live(self, run_id: str) -> list[RunStream]:
        """Return the streams of a run that has not ended."""
        return list(self._runs.get(run_id, ()))

    def take(self, whole: Reply) -> Iterable[Parcel]:
        """Pass a message on to whoever waits for it.

        Returns:
            What must be asked for because it is missing.
        """
        body = whole.message.WhichOneof("body")
        if body == "event":
            return self._event(whole)
        if body == "notice":
            self._on_notice(whole.message.notice)
        elif body == "stock":
            self.stock.take(whole.message.stock)
        elif body is not None:
            lacking = self._lacking(whole.message)
            if lacking is not None:
                lacking.again()
                return [lacking]
            self._reply(whole)
        return ()

    def greet(self, welcome: pb.Welcome) -> None:
        """Take what the worker says of the session's memory."""
        self.alive = set(welcome.names)
        self.stock.begin(welcome.stock)

    def resume(self, known: Mapping[str, str], memory_kept: bool) -> list[Parcel]:
        """Return what a new stream must carry first.

        Args:
            known: Runs that the worker has, with their states.
            memory_kept: Whether the session's memory is still that of the stream before.
        """
        parcels = [parcel for parcel, _ in self._requests.values()]
        for parcel in parcels:
            parcel.rewind()
        for run in [run for runs in list(self._runs.values()) for run in runs]:
            parcels += self._resumed(run, known.get(run.run_id), memory_kept)
        if not memory_kept:
            self._late_seqs.clear()
        follows = [pb.Follow(run_id=run_id, after_seq=seq) for run_id, seq in self._late_seqs.items()]
        return parcels + [Parcel(self.number(pb.ToWorker(follow=follow))) for follow in follows]

    def finish(self, run: RunStream, end: pb.End) -> None:
        """End a run from this side."""
        run.finish(end, time.time())
        self._unwatch(run)

    def give_up(self, failure: pb.Failure) -> None:
        """End every run, as it will never end there, and every request; new ones are refused from now on."""
        for run in self._let_go(failure):
            self.finish(run, pb.End(status="died", problem=problem_of(failure)))

    def close(self, failure: pb.Failure) -> None:
        """Let go of every run, which goes on there, and every request; new ones are refused from now on."""
        for run in self._let_go(failure):
            run.refuse(from_failure(failure))
            self._unwatch(run)

    def _let_go(self, failure: pb.Failure) -> list[RunStream]:
        with self.lock:
            self.lost = self.lost or failure
            requests, self._requests = self._requests, {}
        for _, answer in requests.values():
            answer.refuse(from_failure(failure))
        return [run for runs in list(self._runs.values()) for run in runs]

    def _event(self, whole: Reply) -> list[Parcel]:
        event = whole.message.event
        end = event.end if event.WhichOneof("body") == "end" else None
        missing, live = [], self.live(event.run_id)
        if not live:
            self._hear_late(event)
        for run in live:
            if run.feed(event, whole.bundle):
                missing.append(self._follow(run))
            if run.over:
                self._unwatch(run)
        if end is not None and live:
            self._expect_late(event)
        if end is not None:
            self.alive = set(end.alive)
        return missing

    def _expect_late(self, event: pb.Event) -> None:
        self._late_seqs.pop(event.run_id, None)
        self._late_seqs[event.run_id] = event.seq
        if len(self._late_seqs) > LATE_RUNS_COUNT:
            del self._late_seqs[next(iter(self._late_seqs))]

    def _hear_late(self, event: pb.Event) -> None:
        if event.seq <= self._late_seqs.get(event.run_id, 0) or event.WhichOneof("body") == "end":
            return
        if event.run_id in self._late_seqs:
            self._late_seqs[event.run_id] = event.seq
        self._on_late(event)

    def _lacking(self, message: pb.FromWorker) -> Parcel | None:
        """Return a request that relied on what the worker no longer holds; nothing of it has happened."""
        if message.failure.code != EVICTED:
            return None
        asked, _ = self._requests.get(message.request_id, (None, None))
        run = self._refusable.get(message.request_id)
        parcel = asked or (run.parcel if run is not None else None)
        return None if parcel is None or parcel.is_whole else parcel

    def _reply(self, whole: Reply) -> None:
        message = whole.message
        failed = from_failure(message.failure) if message.WhichOneof("body") == "failure" else None
        run = self._refusable.get(message.request_id)
        if run is not None and failed is not None:
            self._refused(run, message.failure)
        _, answer = self._requests.get(message.request_id, (None, None))  # whoever asked forgets it
        if answer is not None and failed is not None:
            answer.refuse(failed)
        elif answer is not None:
            answer.give(whole)

    def _refused(self, run: RunStream, failure: pb.Failure) -> None:
        if run.arrived_seq:  # it had begun, so it is owed an end
            self.finish(run, pb.End(status="died", problem=problem_of(failure)))
        else:
            run.refuse(from_failure(failure))
            self._unwatch(run)

    def _resumed(self, run: RunStream, state: str | None, memory_kept: bool) -> list[Parcel]:
        untold = [Parcel(pb.ToWorker(interrupt=run.interrupt))] if run.interrupt is not None else []
        # A queued run may wait for values that went down with the stream; then the worker takes them again.
        missing = memory_kept if state is None else state == "queued" and run.parcel.bundle is not None
        if missing and run.arrived_seq == 0 and run.parcel.message.HasField("run"):
            run.parcel.rewind()
            return [run.parcel, *untold]
        if state is not None:
            return [self._follow(run), *untold]
        self.finish(run, pb.End(status="died", problem=problem_of(_forgotten(run.run_id, memory_kept))))
        return []

    def _follow(self, run: RunStream) -> Parcel:
        run.following = True
        message = self.number(pb.ToWorker(follow=pb.Follow(run_id=run.run_id, after_seq=run.arrived_seq)))
        self._refusable[message.request_id] = run
        return Parcel(message)

    def _unwatch(self, run: RunStream) -> None:
        with self.lock:
            self._refusable = {key: other for key, other in self._refusable.items() if other is not run}
            left = [other for other in self._runs.get(run.run_id, ()) if other is not run]
            self._runs[run.run_id] = left
            if not left:
                del self._runs[run.run_id]


def problem_of(failure: pb.Failure) -> pb.Problem:
    """Return a failure as the problem of an end."""
    name = type(from_failure(failure)).__name__
    return pb.Problem(
        code=failure.code,
        type_name=name,
        module="kernel_proxy.errors",
        message=failure.message,
        hint=failure.hint,
    )


def _forgotten(run_id: str, memory_kept: bool) -> pb.Failure:
    what = "no longer has the run" if memory_kept else "lost its memory, and the run with it"
    hint = "rerun from the cell that makes the variables you need"
    return pb.Failure(code="session-lost", message=f"the worker {what} {run_id}", hint=hint)
