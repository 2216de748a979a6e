"""A session: the remote namespace of one notebook and target, as calls.

    run, follow -> RunStream     (events, ending in one end)
    fetch, put, vars, ... -> one request, one reply

All calls travel on one stream (`stream.py`). Each may be interrupted by Ctrl-C and leaves the session usable.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from kernel_proxy.asked import Asked
from kernel_proxy.errors import RunTimeout, RuntimeUnavailable, from_failure
from kernel_proxy.exchange import Exchange, Reply
from kernel_proxy.fetched import the_value
from kernel_proxy.mirror import SessionMirror
from kernel_proxy.parcels import Parcel, Stage
from kernel_proxy.runs import RunStream
from kernel_proxy.stream import Attachment, Line
from kernel_proxy.wishes import NONE
from remote_runtime.wire import data, payload, versions
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.bundle import Bundle
from remote_runtime.wire.ramp import Ramp

__all__ = ["RunStream", "Session"]

STATUS_OF: dict[str, str] = {"user": "interrupted", "cancelled": "cancelled", "timeout": "timeout"}
"""Why a run is interrupted -> status of its end, for a run that never reached the worker."""


class Session:
    """An open session.

    Args:
        name: Its name, by which it is opened again.
        target: What was asked for.
        granted: What the gateway granted.
        line: How its worker is reached.
        namespace: The notebook's names, to which functions that come back are bound.

    Attributes:
        session_id: Its id at the gateway.
        devices: What it holds.
        fresh: Whether its namespace was empty when it was opened.
        trust: What is taken from its worker, one of `data.TRUSTS`.
        on_notice: Called with each `pb.Notice` about the session, by the thread that reads just then.
        on_late: Called with each event that comes after the end of a run, by that thread too.
    """

    def __init__(self, name: str, target: str, granted: pb.Granted, line: Line, namespace: dict[str, Any]) -> None:
        self.name, self.target, self.namespace = name, target, namespace
        self.session_id, self.fresh, self.wait_s = granted.session_id, granted.fresh, granted.wait_s
        self.devices: list[pb.Device] = list(granted.devices)
        self.given, self.trust = NONE, data.ALL
        self.on_notice: Callable[[pb.Notice], None] = lambda notice: None
        self._pid = os.getpid()
        self.on_late: Callable[[pb.Event], None] = lambda event: None
        self._exchange = Exchange(lambda notice: self.on_notice(notice), lambda event: self.on_late(event))
        hello = pb.Hello(
            versions=versions.here(),
            token=granted.token,
            session_id=granted.session_id,
            incarnation=granted.incarnation,
            client=uuid.uuid4().hex,
            groups=True,
        )
        self._attachment = Attachment(self._exchange, line, hello)

    @property
    def alive(self) -> set[str]:
        """Names that the session holds, as of the last end."""
        return self._exchange.alive

    @property
    def incarnation(self) -> int:
        """A number that changes when the session's memory was lost."""
        return self._attachment.welcome.incarnation

    @property
    def takes_data_only(self) -> bool:
        """Whether nothing but data is taken from its worker."""
        return self.trust == data.DATA

    @property
    def ramp(self) -> Ramp | None:
        """Where large values are copied before they are sent; None where they travel otherwise."""
        sharing = self._attachment.sharing
        return sharing.ramp if sharing is not None else None

    @property
    def lost(self) -> pb.Failure | None:
        """Why the session can no longer be used; None while it can."""
        return self._exchange.lost

    @property
    def versions(self) -> pb.Versions:
        """The worker's versions."""
        return self._attachment.welcome.versions

    def attach(self) -> None:
        """Connect to the worker.

        Raises:
            WarmcellError: The worker is gone, refuses, or differs in version.
        """
        self._attachment.open(self.name)

    def run(self, run: pb.Run, bundle: Bundle | None = None) -> RunStream:
        """Start a run.

        Args:
            run: What to run; an empty run_id is filled in.
            bundle: Captured values.

        Raises:
            WarmcellError: The session is lost.
        """
        run.run_id = run.run_id or uuid.uuid4().hex[:12]
        return self._watched(run.run_id, pb.ToWorker(run=run), bundle, 0)

    def follow(self, run_id: str, after_seq: int = 0) -> RunStream:
        """Replay the events of a run that came after one, then go on with it.

        Raises:
            WarmcellError: The session is lost. An unknown run raises when the stream is read.
        """
        message = pb.ToWorker(follow=pb.Follow(run_id=run_id, after_seq=after_seq))
        return self._watched(run_id, message, None, after_seq)

    def interrupt(self, run_id: str, *, kill: bool = False, why: str = "user") -> None:
        """Interrupt a run; it ends by itself soon after. Safe to call from a signal handler.

        A run that has ended, or whose session is lost, is left alone.

        Args:
            run_id: The run.
            kill: Whether to kill at once; otherwise the worker does so after a grace time.
            why: "user", "cancelled" or "timeout".
        """
        self._own_process()
        message = pb.Interrupt(run_id=run_id, kill=kill, why=why)
        for run in self._exchange.live(run_id):
            if run.parcel.stage is not Stage.SENT and run.parcel.message.HasField("run") and run.parcel.abandon():
                self._exchange.finish(run, _never_ran(why))
                return
            run.interrupt = message
        self._attachment.hurry(pb.ToWorker(interrupt=message))

    def fetch(self, name: str = "", token: str = "", timeout_s: float | None = None, trust: bool = False) -> Any:
        """Return a copy of a remote value.

        Args:
            name: Its remote name.
            token: A handle's token; the name then only says what to call it.
            timeout_s: Longest wait; None waits as long as the session is busy.
            trust: Whether it may be anything, though data alone is taken otherwise.

        Raises:
            NotFound: There is no such name or handle.
            TransferError: It cannot be copied.
            UnpackError: It cannot be rebuilt here.
        """
        asked = pb.Fetch(name=name, token=token, data_only=self.takes_data_only and not trust)
        reply = self._ask(pb.ToWorker(fetch=asked), timeout_s=timeout_s)
        return the_value(reply, self.namespace, name or token, None, asked.data_only)

    def fetch_shared(self, name: str, mirror: SessionMirror, trust: bool = False) -> Any:
        """Return a remote value that both ends will hold under its name.

        Args:
            name: Its remote name.
            mirror: What both ends hold.
            trust: As `fetch` takes it.

        Raises:
            NotFound: There is no such name.
            TransferError: It cannot be copied.
            UnpackError: It cannot be rebuilt here.
        """
        asked = pb.Fetch(name=name, sync=mirror.sync(), data_only=self.takes_data_only and not trust)
        reply = self._ask(pb.ToWorker(fetch=asked))
        values = reply.message.values
        found = the_value(reply, self.namespace, name, mirror.arrival(values.turn), asked.data_only)
        mirror.landed(values.turn, {name: values.version})
        return found

    def put(self, packed: payload.Packed, sync: pb.Sync | None = None, sources: str = "") -> None:
        """Bind packed values in the session; `sources` names the local modules that they need."""
        self._ask(pb.ToWorker(put=pb.Put(sync=sync, sources=sources)), packed.bundle)

    def remove(self, names: Iterable[str]) -> pb.Removed:
        """Delete names in the session."""
        return self._ask(pb.ToWorker(remove=pb.Remove(names=names))).message.removed

    def vars(self) -> list[pb.Held]:
        """List what the session holds."""
        return list(self.table().vars)

    def table(self) -> pb.VarTable:
        """List what the session holds, with the memory of its devices."""
        return self._ask(pb.ToWorker(list_vars=pb.ListVars())).message.vars

    def free(self) -> pb.Removed:
        """Give up memory that nothing refers to."""
        return self._ask(pb.ToWorker(free=pb.Free())).message.removed

    def runs(self) -> list[pb.RunInfo]:
        """List the runs that the worker remembers."""
        return list(self._ask(pb.ToWorker(list_runs=pb.ListRuns())).message.runs.runs)

    def environment(self) -> pb.EnvironmentInfo:
        """Describe the worker's Python and packages."""
        return self._ask(pb.ToWorker(environment=pb.Environment())).message.environment

    def ask_files(self, request: pb.FileRequest) -> Asked:
        """Ask about the working directory; several requests may be under way, also while a cell runs.

        An answer that nobody waits for any more is dropped when it comes.

        Raises:
            WarmcellError: The session is lost; waiting for the answer raises it too.
        """
        with self._exchange.lock:
            self._own()
            parcel = Parcel(self._exchange.number(pb.ToWorker(files=request)))
            answer = self._exchange.expect(parcel)
            self._attachment.send(parcel)
        self._attachment.flush()
        return Asked(answer, self._attachment)

    def ask_sources(self, asked: pb.Sources) -> pb.Sources:
        """Ask which contents of a tree of local modules the session lacks.

        Raises:
            TargetBusy: It runs a cell.
        """
        return self._ask(pb.ToWorker(sources=asked)).message.sources

    def keep_sources(self, sources: pb.Sources) -> None:
        """Send local modules ahead of a run, which fails where they cannot be kept. Nobody waits for the answer.

        Raises:
            WarmcellError: The session is lost.
        """
        with self._exchange.lock:
            self._own()
            parcel = Parcel(self._exchange.number(pb.ToWorker(sources=sources)))
            self._exchange.expect(parcel)  # on a new stream it is sent again, before the runs
            self._attachment.send(parcel)

    def comm(self, message: pb.Comm) -> None:
        """Send a widget's message to the user process; it is heard between cells, or when a cell waits.

        Raises:
            WarmcellError: The session is lost.
        """
        self._own()
        self._attachment.send(Parcel(pb.ToWorker(comm=message)))
        self._attachment.flush()

    def answer(self, answer: pb.Input) -> None:
        """Answer a run that asks for input; sent again if the stream breaks.

        Raises:
            NotFound: The run has ended, or asks somebody else.
        """
        self._ask(pb.ToWorker(input=answer))

    def acknowledge(self, run_id: str, seq: int) -> None:
        """Say that what came late of a run has been shown up to a number."""
        self._acknowledge(pb.ToWorker(ack=pb.Ack(run_id=run_id, seq=seq)))

    def drop(self, tokens: Iterable[str]) -> None:
        """Let go of handles. Never fails: a lost session holds nothing any more, a forked child never did."""
        if os.getpid() == self._pid and self.lost is None:
            self._attachment.send(Parcel(pb.ToWorker(drop=pb.Drop(tokens=tokens))))
            self._attachment.flush()

    def close(self) -> None:
        """Detach; the session and its runs live on at the runtime."""
        if os.getpid() == self._pid:
            self._attachment.close()
            self._exchange.close(_closed(self.name))

    def _watched(self, run_id: str, message: pb.ToWorker, bundle: Bundle | None, after_seq: int) -> RunStream:
        exchange = self._exchange
        with exchange.lock:
            self._own()
            parcel = Parcel(exchange.number(message), bundle)
            parcel.is_whole = message.run.fresh
            run = RunStream(run_id, parcel, self._acknowledge, after_seq, self._attachment.wait)
            run.following = message.HasField("follow")
            exchange.watch(run)
            self._attachment.send(parcel)
        self._attachment.flush()
        return run

    def _acknowledge(self, message: pb.ToWorker) -> None:
        """Send an acknowledgement behind what comes next: nobody waits for it."""
        if os.getpid() == self._pid:
            self._attachment.send_late(Parcel(message))

    def _ask(self, message: pb.ToWorker, bundle: Bundle | None = None, timeout_s: float | None = None) -> Reply:
        with self._exchange.lock:
            self._own()
            parcel = Parcel(self._exchange.number(message), bundle)
            answer = self._exchange.expect(parcel)
            self._attachment.send(parcel)
        try:
            self._attachment.flush()
            if not self._attachment.wait(answer.bell, answer.ready, timeout_s):
                raise RunTimeout(
                    f"session {self.name} did not answer `{message.WhichOneof('body')}` within {timeout_s:g} s",
                    "it answers when its running cell has ended",
                )
            return answer.result()
        except KeyboardInterrupt:
            if not parcel.abandon():
                self._attachment.hurry(pb.ToWorker(interrupt=pb.Interrupt(why="user")))  # this request
            raise
        finally:
            self._exchange.forget(parcel)

    def _own(self) -> None:
        self._own_process()
        if self.lost is not None:
            raise from_failure(self.lost)

    def _own_process(self) -> None:
        if os.getpid() != self._pid:
            raise RuntimeUnavailable(
                f"session {self.name} belongs to process {self._pid}; this process was forked from it",
                "use the session in the process that opened it",
            )


def _closed(name: str) -> pb.Failure:
    message = f"session {name} was closed in this process; it lives on at the runtime"
    return pb.Failure(code="session-lost", message=message, hint="open it again by its name")


def _never_ran(why: str) -> pb.End:
    problem = pb.Problem(type_name="KeyboardInterrupt", module="builtins", message="interrupted before it was sent")
    return pb.End(status=STATUS_OF.get(why, "interrupted"), problem=problem)
