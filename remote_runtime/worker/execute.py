"""One run, from its bundle to its end.

    unpack -> stash -> run in the shell -> what was bound and deleted -> pack -> end

Each stage may be interrupted; whatever happens, the run has one end. What a cell bound before it raised goes
back as well.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from remote_runtime.wire import excepted, payload
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.bundle import Bundle
from remote_runtime.wire.failures import Failed
from remote_runtime.worker import describe, environ, returns, shortage, tracebacks, writeback
from remote_runtime.worker.devicememory import DeviceMemory
from remote_runtime.worker.interrupts import Interrupts
from remote_runtime.worker.mirrors import Changes, Mirrors, Party
from remote_runtime.worker.namespace import Before, Names, Stash
from remote_runtime.worker.origin import Leftovers
from remote_runtime.worker.outputs import Outputs
from remote_runtime.worker.shell import Shell, notice
from remote_runtime.worker.sources import Sources
from remote_runtime.worker.store import Store

Parcel = list[Bundle]
"""A bundle in a list: whoever takes it out is the only one who holds it, and can free it."""


@dataclass(frozen=True)
class Session:
    """What a run works on.

    Args:
        shell: Runs the code.
        outputs: Takes what the run shows and its end.
        interrupts: Lets Ctrl-C through.
        names: The namespace.
        registry: Objects of handles.
        mirrors: What its kernels hold of the names.
        sources: Local modules of the notebook.
        store: Contents that were sent.
        memory: Memory of the devices.
    """

    shell: Shell
    outputs: Outputs
    interrupts: Interrupts
    names: Names
    registry: returns.Registry
    mirrors: Mirrors
    sources: Sources
    store: Store
    memory: DeviceMemory = field(default_factory=DeviceMemory)
    pid: int = field(default_factory=os.getpid)


@dataclass
class _Job:
    """A run on its way."""

    run: pb.Run
    end: pb.End
    error: BaseException | None = None
    failure: pb.Problem | None = None
    bundle: Bundle | None = None
    has_exception: bool = False
    unpack_s: float = 0.0
    party: Party | None = None
    notices: list[str] = field(default_factory=list)


class Executor:
    """Executes runs, one at a time.

    Args:
        session: What they work on.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._open: _Job | None = None
        self._leftovers = Leftovers()

    async def run(self, run: pb.Run, parcel: Parcel) -> None:
        """Execute a run and send its end.

        Args:
            run: What to run.
            parcel: Its captured values, if any.
        """
        job = self._open = _Job(run, pb.End(status="ok"))
        self._session.outputs.begin(run.run_id)
        with environ.lent(run.env):
            self._receive(job, parcel)
            if job.error is None and job.failure is None:
                await self._execute(job)
            else:
                self._say_started(job)
        self._finish(job)

    def abandon(self, error: BaseException) -> None:
        """End the open run, if any, that something unforeseen has left without its end."""
        job = self._open
        if job is not None:
            job.error, job.failure, job.bundle, job.has_exception = error, None, None, False
            del job.end.held[:]
            self._finish(job)

    def _receive(self, job: _Job, parcel: Parcel) -> None:
        begun = perf_counter()
        session, renames = self._session, job.run.renames
        with session.interrupts.armed(asyncio.current_task()) as armed:
            try:
                job.notices = session.sources.use(job.run.sources)
                party = session.mirrors.join(job.run.sync) if job.run.HasField("sync") else None
                values = unpacked(session, parcel, party)
                values.update({name: session.registry.resolve(token) for name, token in renames.items()})
                session.names.namespace.update(values)
                if party is not None:
                    party.landed()
                job.party, job.end.landed = party, True
            except (Failed, payload.UnpackError, SystemExit) as error:
                job.failure = problem_of(error)
        job.error = armed.press
        job.unpack_s = perf_counter() - begun

    def _say_started(self, job: _Job) -> None:
        self._session.outputs.event(started=pb.Started(pid=os.getpid(), unpack_s=job.unpack_s))
        for text in job.notices:
            self._session.outputs.event(display=pb.Display(mime=notice(text)))

    async def _execute(self, job: _Job) -> None:
        session, before = self._session, None
        shell = session.shell
        shell.execution_count, shell.displayhook.shows = job.run.count, not job.run.expression
        source = shell.plain_source(job.run.source)
        plain = source if isinstance(source, str) else ""
        stash = Stash(session.names.namespace, job.run.stash, plain)
        begun = perf_counter()
        with session.interrupts.armed(asyncio.current_task()) as armed:
            self._say_started(job)
            session.interrupts.deliver()
            before = Before(session.names, plain)
            begun = perf_counter()
            job.error = await shell.run_source(job.run.source, source)
        job.end.run_s = perf_counter() - begun
        job.error = self._as_pressed(armed.press or job.error)
        if os.getpid() != session.pid:
            _leave_child(session, job.error)
        bound, deleted = (before.bound(), before.deleted()) if before is not None else ([], [])
        if job.party is not None:
            bound = [name for name in bound if not job.party.stands(name)]
        job.end.deleted.extend(dict.fromkeys((*deleted, *stash.restore())))
        self._pack(job, bound)

    def _as_pressed(self, error: BaseException | None) -> BaseException | None:
        """Show a coroutine that Ctrl-C cancelled as interrupted, at the line where it waited."""
        if error is None:
            return None
        if issubclass(type(error), asyncio.CancelledError) and self._session.interrupts.cancelled:
            return KeyboardInterrupt().with_traceback(tracebacks.frames_of(error))
        return error

    def _pack(self, job: _Job, bound: list[str]) -> None:
        begun = perf_counter()
        session, rule = self._session, returns.Rule.of(job.run.returns)
        values = self._values(job, bound)
        chosen = returns.Chosen(why=dict.fromkeys(values, returns.INTERRUPTED))
        with session.interrupts.armed(asyncio.current_task()) as armed:
            session.interrupts.deliver()
            chosen.changes = changes = self._changes(job, bound)
            travels = dict(values)
            travels.update(self._exception(job.error, rule))
            chosen = returns.choose(travels, rule, session.names.namespace, changes)
        if armed.press is not None:
            job.error = job.error or armed.press
            chosen.changes.abandon()
        elif chosen.packed is not None:
            job.bundle, job.has_exception = chosen.packed.bundle, writeback.EXCEPTION in chosen.packed.names
        for name, reason in chosen.why.items():
            job.end.held.append(self._held(name, values[name], reason))
        self._tell(job, bound, chosen)
        job.end.pack_s = perf_counter() - begun

    def _exception(self, error: BaseException | None, rule: returns.Rule) -> dict[str, object]:
        """Return what of an exception goes back, under its name."""
        if rule.data_only:
            told = excepted.told(error)
            return {writeback.EXCEPTION: told} if told is not None else {}
        namespace = self._session.names.namespace
        return {writeback.EXCEPTION: error} if error and returns.can_return(error, namespace, rule.name_bytes) else {}

    def _changes(self, job: _Job, bound: list[str]) -> Changes:
        """Look for inputs that the run changed; nothing of them goes back from where nothing shall."""
        if job.party is None:
            return Changes()
        changes, ramp = job.party.compare(bound), self._session.outputs.ramp
        if job.run.background or job.run.returns.none:
            changes.delta = None
        elif changes.delta is not None and ramp is not None:
            changes.delta.take = ramp.take
        return changes

    def _tell(self, job: _Job, bound: list[str], chosen: returns.Chosen) -> None:
        """Say in the end what changed, what is newer here, and under which versions."""
        end, party, changes = job.end, job.party, chosen.changes
        session = self._session
        session.mirrors.forget(end.deleted)
        for name in (*bound, *changes.updated, *changes.whole):
            end.versions[name] = session.mirrors.stamp(name, job.run.sync if party is not None else None)
        end.updated.extend(chosen.updated)
        for name, reason in chosen.ahead.items():
            end.ahead[name] = reason
        for name, took_s in changes.slow.items():
            end.slow[name] = took_s
        if party is not None and changes.delta is not None:
            end.turn = party.told()

    def _values(self, job: _Job, bound: list[str]) -> dict[str, Any]:
        namespace, hook = self._session.names.namespace, self._session.shell.displayhook
        values = {name: namespace[name] for name in bound if name in namespace}
        last, hook.value = hook.value, None
        if last is not None and not (job.run.returns.none and writeback.RESULT not in job.run.returns.force):
            values[writeback.RESULT] = last
            job.end.result_name = writeback.RESULT
        return values

    def _held(self, name: str, value: object, why: str) -> pb.Held:
        return describe.described(name, value, token=self._session.registry.keep(value), why=why)

    def _finish(self, job: _Job) -> None:
        session, end = self._session, job.end
        if job.failure is not None:
            end.status = "error"
            end.problem.CopyFrom(job.failure)
        elif job.error is not None:
            end.status = "interrupted" if issubclass(type(job.error), KeyboardInterrupt) else "error"
            end.problem.CopyFrom(tracebacks.problem(job.error, session.shell))
            end.problem.has_exception = job.has_exception
            end.problem.shortage.extend(shortage.of(job.error, session.memory, session.names.items()))
        end.devices.extend(session.memory.of_torch())
        end.alive.extend(session.names.alive())
        end.late.extend(self._leftovers.of(job.run.run_id))
        bundle, job.bundle, job.error, self._open = job.bundle, None, None, None
        session.outputs.settle()
        session.outputs.event(end=end, bundle=bundle)
        tracebacks.forget()


def unpacked(session: Session, parcel: Parcel, party: Party | None = None) -> dict[str, object]:
    """Rebuild the values of a parcel and leave it empty.

    Args:
        session: Where they are rebuilt.
        parcel: What came.
        party: Of the kernel that sent them, where it holds the session's names too.

    Raises:
        UnpackError: A value cannot be rebuilt here.
    """
    if not parcel:
        return {}
    namespace, resolve = session.names.namespace, session.registry.resolve
    landing = party.arrival(session.interrupts) if party is not None else None
    return payload.unpack(parcel.pop(), namespace=namespace, resolve=resolve, landing=landing)


def problem_of(error: Failed | payload.UnpackError | SystemExit) -> pb.Problem:
    """Describe what kept a run or a request from being served."""
    cause = error.__cause__
    if isinstance(cause, Failed):
        error = cause
    if isinstance(error, SystemExit):
        error = Failed("unpack", "a value raised SystemExit while it was rebuilt", "build it inside the cell")
    parted = isinstance(error, payload.UnpackError) and error.reason == "parted"
    code = error.code if isinstance(error, Failed) else "mirror" if parted else "unpack"
    return pb.Problem(code=code, type_name=type(error).__name__, message=error.message, hint=error.hint)


def _leave_child(session: Session, error: BaseException | None) -> None:
    """End a forked child that has run out of the cell: the loop, the socket and the end are its parent's."""
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        code = 1
        session.outputs.put(True, "\n".join(tracebacks.problem(error, session.shell).traceback) + "\n")
    session.outputs.flush()
    os._exit(code & 0xFF)
