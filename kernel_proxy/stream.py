r"""The long-lived stream of one session: attached, read by who waits or else by its own thread, and attached again
when it breaks.

    dial -> Hello -> Welcome -> [what the exchange resumes] -> read, dispatch ... -> broken?
              ^                                                                        |
              +------ wait a little <- step: can it come back? <- Exit's reason -------+
                                              \- no -> the exchange gives up: one end for every run

A broken stream costs nothing but time: the worker keeps the log of its runs, the exchange what was asked.
What to do next is decided by `next_step`, a function of values.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout  # not the built-in one before Python 3.11
from dataclasses import dataclass
from typing import Protocol

from kernel_proxy import waiting
from kernel_proxy.bell import Bell, Leadable
from kernel_proxy.channel import BrokenStream
from kernel_proxy.errors import RuntimeUnavailable, WarmcellError, from_failure
from kernel_proxy.exchange import Exchange, Reply
from kernel_proxy.greeting import check_versions
from kernel_proxy.parcels import Outgoing, Parcel
from remote_runtime.wire import limits
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.arena import Arena
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.frames import Assembler, Whole, control
from remote_runtime.wire.lane import fds_of
from remote_runtime.wire.sharing import Sharing

FIRST_DELAY_S, LONGEST_DELAY_S = 0.02, 2.0
"""Back-off between attempts: the first comes at once, then doubling."""

ALONE_S = 5.0
"""How long a worker on this machine may refuse us while there is no gateway to ask; workers never restart."""

WELCOME_S = 30.0
"""How long a worker may take to say welcome."""

DAMAGED_COUNT = 3
"""How many streams in a row may be damaged before they are no accident."""

_MENDABLE = frozenset({"unavailable", "internal", "protocol"})


class Line(Protocol):
    """How a session reaches its worker, and its gateway when the worker is silent."""

    def dial(self, outgoing: Outgoing, attempt: int) -> FrameStream:
        """Open a stream of frames; later attempts may take another way."""

    def exit_reason(self) -> pb.ExitReply | None:
        """Ask the gateway whether the worker is gone; None when it cannot be asked."""

    @property
    def same_host(self) -> bool:
        """Whether the worker is on this machine."""


class FrameStream(Leadable, Protocol):
    """An open stream of frames, as `channel.Frames` or `lane.Lane`."""

    arena_bytes: int
    """Shared memory that each direction may take; 0 where descriptors cannot travel."""

    def serve(self, take: Callable[[bytes], None]) -> None:
        """Pass frames on until `BrokenStream`, or until `take` raises."""

    def flush(self) -> None:
        """Send what waits, as far as that can be done at once. Safe to call from a signal handler."""

    def cancel(self) -> None:
        """End it."""


@dataclass(frozen=True)
class Trouble:
    """What is known when a stream has broken.

    Args:
        failure: Why it broke.
        attempts: How many attempts since the last welcome have failed.
        damaged: How many streams in a row were damaged.
        silent_s: Seconds since the last welcome was lost.
        exit: The gateway's word on the worker, None when it cannot be asked.
        same_host: Whether the worker is on this machine.
    """

    failure: pb.Failure
    attempts: int
    damaged: int
    silent_s: float
    exit: pb.ExitReply | None
    same_host: bool


def next_step(trouble: Trouble) -> float | pb.Failure:
    """Decide what follows a break: seconds until the next attempt, or the failure that ends the session."""
    if trouble.exit is not None and trouble.exit.gone:
        return gone(trouble.exit)
    if trouble.failure.code not in _MENDABLE or trouble.damaged >= DAMAGED_COUNT:
        return trouble.failure
    patience_s = ALONE_S if trouble.exit is None and trouble.same_host else limits.KEEP_S
    if trouble.silent_s > patience_s:
        return _silent(trouble)
    return min(FIRST_DELAY_S * 2**trouble.attempts, LONGEST_DELAY_S) if trouble.attempts else 0.0


_RERUN = "the session's variables are gone; rerun from the cell that makes them"

GONE: Mapping[str, tuple[str, str, str]] = {
    "killed": ("worker-died", "the worker was killed", _RERUN),
    "memory": ("memory", "the worker passed its memory limit", _RERUN),
    "lease": ("session-lost", "the session's lease ran out", _RERUN),
    "stopped": ("session-lost", "the session was stopped", _RERUN),
    "unknown": ("session-lost", "the worker is gone", _RERUN),
}
"""Reason of `ExitReply` -> code, sentence, hint."""


def gone(reply: pb.ExitReply) -> pb.Failure:
    """Return the failure for a worker that has ended."""
    code, sentence, hint = GONE.get(reply.reason, GONE["unknown"])
    return pb.Failure(code=code, message=f"{sentence}: {reply.detail}" if reply.detail else sentence, hint=hint)


def _silent(trouble: Trouble) -> pb.Failure:
    message = f"the worker was silent for {trouble.silent_s:.0f} s: {trouble.failure.message}"
    return pb.Failure(code="session-lost", message=message, hint=_RERUN)


class Attachment:
    """Keeps one session's stream open.

    Args:
        exchange: What is asked for and awaited.
        line: How the worker is reached.
        hello: What to say first; its incarnation follows the worker's.

    Attributes:
        welcome: The last welcome.
    """

    def __init__(self, exchange: Exchange, line: Line, hello: pb.Hello) -> None:
        self.welcome = pb.Welcome()
        self._exchange, self._line, self._hello = exchange, line, hello
        self._first: Future[None] = Future()
        self._closing = threading.Event()
        self._outgoing: Outgoing | None = None
        self._stream: FrameStream | None = None
        self._damaged = 0
        self._welcomed, self._told, self._mappable = False, False, True

    def open(self, name: str) -> None:
        """Start the reader thread and wait for the first welcome.

        Raises:
            WarmcellError: The worker is gone, refuses, or differs in version.
        """
        threading.Thread(target=self._serve, name=f"warmcell-{name}", daemon=True).start()
        try:
            waiting.result_of(self._first, WELCOME_S)
        except FutureTimeout:
            self.close()
            raise RuntimeUnavailable(
                f"the worker of session {name} did not answer within {WELCOME_S:g} s", "see `warmcell logs`"
            ) from None
        except BaseException:
            self.close()
            raise

    @property
    def sharing(self) -> Sharing | None:
        """Shared memory, where large values go by it now; on another stream they may not."""
        outgoing = self._outgoing
        return outgoing.sharing if outgoing is not None else None

    def send(self, parcel: Parcel) -> None:
        """Send a parcel, at the next `flush` or soon; while the stream is broken only what the exchange resumes."""
        outgoing = self._outgoing
        if outgoing is not None:
            outgoing.put(parcel)

    def send_late(self, parcel: Parcel) -> None:
        """Send a parcel some time soon, with or behind what is sent next."""
        outgoing = self._outgoing
        if outgoing is not None:
            outgoing.put_late(parcel)

    def flush(self) -> None:
        """Send what waits. Safe to call from a signal handler."""
        stream = self._stream
        if stream is not None and self._outgoing is not None:
            stream.flush()

    def hurry(self, message: pb.ToWorker) -> None:
        """Send a message before all that waits. Safe to call from a signal handler."""
        outgoing = self._outgoing
        if outgoing is not None:
            outgoing.hurry(control(message))
            self.flush()

    def wait(self, bell: Bell, ready: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Wait until something is so that comes by the stream; see `Bell.wait`."""
        return bell.wait(ready, lambda: self._stream, timeout_s)

    def close(self) -> None:
        """End the stream and its thread; runs go on at the worker."""
        self._closing.set()
        self.flush()
        outgoing = self._outgoing
        if outgoing is not None:
            outgoing.close()
        self._cut()

    def _cut(self) -> None:
        stream = self._stream
        if stream is not None:
            stream.cancel()

    def _serve(self) -> None:
        attempts, lost_at = 0, time.monotonic()
        while not self._closing.is_set():
            failure = self._attached(attempts)
            if self._closing.is_set():
                return
            if self._welcomed:
                attempts, lost_at = 0, time.monotonic()
            step = next_step(self._trouble(failure, attempts, time.monotonic() - lost_at))
            if isinstance(step, pb.Failure):
                self._give_up(step)
                return
            attempts += 1
            self._closing.wait(step)

    def _attached(self, attempt: int) -> pb.Failure:
        """Attach once and read until the stream breaks; return why."""
        self._welcomed = False
        outgoing = Outgoing(self._cut, self._exchange.stock)
        try:
            self._stream = stream = self._line.dial(outgoing, attempt)
            outgoing.sharing = self._shared(stream, outgoing)
            outgoing.put(Parcel(pb.ToWorker(hello=self._hello)))
            stream.serve(_Reading(self, stream, outgoing).feed)
        except BrokenStream as broken:
            return broken.failure
        except Failed as torn:
            self._damaged += 1
            if torn.code == "memory":
                self._mappable = False
                self._tell(f"large values travel by the stream, more slowly: {torn.message}")
                return pb.Failure(code="unavailable", message=torn.message)
            return pb.Failure(code=torn.code, message=torn.message, hint=torn.hint)
        except WarmcellError as error:
            code = "unavailable" if isinstance(error, RuntimeUnavailable) else "unauthorized"
            return pb.Failure(code=code, message=error.message, hint=error.hint)
        finally:
            self._outgoing = None
            outgoing.close()
            self._cut()
            self._stream = None
            if outgoing.sharing is not None:
                outgoing.sharing.close()
        return pb.Failure(code="unavailable", message="the stream ended")

    def _shared(self, stream: FrameStream, outgoing: Outgoing) -> Sharing | None:
        self._hello.arena_bytes = most = stream.arena_bytes if self._mappable else 0
        return Sharing(pb.ToWorker, outgoing.herald, Arena(most)) if most else None

    def _tell(self, text: str) -> None:
        if text and not self._told:
            self._told = True
            self._exchange.take(Whole(pb.FromWorker(notice=pb.Notice(text=text)), None))

    def take(self, whole: Reply, outgoing: Outgoing) -> None:
        """Take a message of the stream on which `outgoing` sends."""
        body = whole.message.WhichOneof("body")
        if body == "welcome":
            return self._welcome(whole.message.welcome, outgoing)
        if body == "failure":
            self._check(whole.message)
        else:
            self._damaged = 0
        for parcel in self._exchange.take(whole):
            outgoing.put(parcel)
        if body == "event" and outgoing.sharing is not None:
            self._tell(outgoing.sharing.notice())
        return None

    def _check(self, message: pb.FromWorker) -> None:
        """Let a failure through that is the answer to a request."""
        failure = message.failure
        if not self._welcomed:
            raise BrokenStream(failure)
        if not message.request_id and failure.code == "protocol":
            # What we sent cannot be read there, so nobody knows which request it was: all are sent again.
            raise Failed(failure.code, failure.message, failure.hint)

    def _welcome(self, welcome: pb.Welcome, outgoing: Outgoing) -> None:
        check_versions(welcome.versions)
        kept = self._hello.incarnation in (0, welcome.incarnation)
        with self._exchange.lock:
            again, self._welcomed = self._welcomed, True
            self.welcome, self._hello.incarnation = welcome, welcome.incarnation
            self._exchange.greet(welcome)
            if again:  # the worker has replaced the user process; this stream goes on
                return
            for parcel in self._exchange.resume({run.run_id: run.state for run in welcome.runs}, kept):
                outgoing.put(parcel)
            self._outgoing = outgoing
        if outgoing.sharing is not None:
            outgoing.sharing.start()
        if not self._first.done():
            self._first.set_result(None)

    def _trouble(self, failure: pb.Failure, attempts: int, silent_s: float) -> Trouble:
        exit_reply = self._line.exit_reason() if attempts else None
        return Trouble(failure, attempts, self._damaged, silent_s, exit_reply, self._line.same_host)

    def _give_up(self, failure: pb.Failure) -> None:
        self._exchange.give_up(failure)
        if not self._first.done():
            self._first.set_exception(from_failure(failure))


class _Reading:
    """What arrives on one stream."""

    def __init__(self, attachment: Attachment, stream: FrameStream, outgoing: Outgoing) -> None:
        self._attachment, self._stream, self._outgoing = attachment, stream, outgoing
        sharing = outgoing.sharing
        self._assembler = Assembler(pb.FromWorker, None if sharing is None else sharing.view)

    def feed(self, frame: bytes) -> None:
        whole, sharing = self._assembler.feed(frame), self._outgoing.sharing
        if whole is None:
            return
        if sharing is None or not sharing.take(whole.message, next(iter(fds_of(frame)), None)):
            self._attachment.take(whole, self._outgoing)
        if self._outgoing.pending:
            self._stream.flush()
