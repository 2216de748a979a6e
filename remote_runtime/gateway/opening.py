"""Opening a session: the one that has the name, or a place in the queue, then a warm worker, then the grant.

OpenRequest -> existing? -> Granted
            -> Waiter -> Waiting ... -> devices -> Sessions.begin -> Granted
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

from remote_runtime.gateway import builds
from remote_runtime.gateway.admission import Admission
from remote_runtime.gateway.books import Books
from remote_runtime.gateway.care import Care
from remote_runtime.gateway.outlook import Outlook
from remote_runtime.gateway.rows import Place
from remote_runtime.gateway.session import Opening, Refused, Session, wire_device
from remote_runtime.gateway.sessions import Sessions
from remote_runtime.pool.placement import Chosen, decide, fits, free_now
from remote_runtime.pool.pool import Pool
from remote_runtime.pool.queue import Queue, Wait, Waiter
from remote_runtime.pool.scaling import Kind
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import versions
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.specs import Environment
from remote_runtime.wire.targets import Want, parse_target

LOCKED_S = 2.0
"""How long a device is left alone after a worker found it locked by another runtime of this machine."""

LOST_PLACE = (
    "the runtime was started again and no longer knows your place in the queue: you wait anew, behind those who are "
    "there already"
)


@dataclass(frozen=True)
class Ways:
    """What an opening takes.

    Args:
        pool: Where workers come from.
        queue: Where one waits for devices.
        sessions: Where they end up.
        care: Arranges the queue.
        outlook: How long one may wait.
        books: Where it is written down.
        admission: Says what a session may be made with and given.
    """

    pool: Pool
    queue: Queue
    sessions: Sessions
    care: Care
    outlook: Outlook
    books: Books
    admission: Admission


class Opener:
    """Opens sessions.

    Args:
        ways: What it takes.
        clock: Monotonic seconds.
        lease_memory_bytes: Share of each device of a lease that names none; None means all of it.
    """

    def __init__(
        self, ways: Ways, clock: Callable[[], float], lease_memory_bytes: int | None = None
    ) -> None:
        self._pool, self._queue, self._sessions = ways.pool, ways.queue, ways.sessions
        self._care, self._outlook, self._books = ways.care, ways.outlook, ways.books
        self._admission = ways.admission
        self._clock, self._lease_memory_bytes = clock, lease_memory_bytes
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._notice = self._books.notice

    async def open(self, request: pb.OpenRequest) -> AsyncIterator[pb.OpenUpdate]:
        """Open a session by name, or return the one that has it: updates while waiting, then the grant.

        Raises:
            Failed: The target cannot be read or met, is held and the client does not wait, versions differ, or
                it cannot be written down.
        """
        started = self._clock()
        wants = shared(wants_of(request.target), request, self._lease_memory_bytes)
        environment = await self._admission.environment(request)
        found = await self._admission.engine.versions(environment)
        check_versions(request.versions, found)
        name = request.session or f"session-{secrets.token_hex(3)}"
        if self._notice:
            self._notice, note = "", self._notice
            yield _waiting("opening the session", note=note)
        lock = self._locks.setdefault((request.user, name), asyncio.Lock())
        if lock.locked():
            self._require_patience(name, request)
            yield _waiting(f"session {name} is being opened by another notebook")
        async with lock:
            session = await self._existing(name, wants, environment, request)
            fresh = session is None
            if session is None:
                waiter, note = self._waiter(name, wants, request)
                async with aclosing(self._wait_and_begin(waiter, request, environment, note)) as updates:
                    async for update in updates:
                        yield update
                session = self._sessions.by_id[waiter.session_id]
        yield pb.OpenUpdate(granted=_granted(session, fresh, self._clock() - started, found))

    def _require_patience(self, name: str, request: pb.OpenRequest) -> None:
        """Refuse to wait behind another notebook that waits for the same session."""
        same = ((waiter.user, waiter.name) == (request.user, name) for waiter in self._queue.waiting)
        if request.no_wait and any(same):
            raise self._busy(f"session {name} waits for its device, asked for by another notebook", name)

    async def _existing(
        self, name: str, wants: Sequence[Want], environment: Environment, request: pb.OpenRequest
    ) -> Session | None:
        caller = pb.Caller(user=request.user, scopes=request.caller.scopes)
        session = self._sessions.find(name, caller)
        if session is not None and session.ending is not None:
            await session.gone.wait()
            session = None
        if session is not None and not await self._sessions.alive(session):
            session = None
        if session is None and request.must_exist:
            raise Failed("not-found", f"there is no session named {name}", "see `%gpu ps`", {"session": name})
        if session is not None and not fits(wants, session.record.devices):
            raise _another_target(session, request.target)
        if session is not None and not request.must_exist and session.record.environment != environment:
            raise _another_environment(session)
        return session

    def _waiter(self, name: str, wants: Sequence[Want], request: pb.OpenRequest) -> tuple[Waiter, str]:
        """Return a waiter, at the place that the request's ticket stands for, and what to say of that place."""
        place = self._books.take_up(request.ticket, request.user) if request.ticket else None
        if place is not None:
            return Waiter(place.ticket, name, wants, request.user, place.arrived), ""
        return Waiter(f"s-{secrets.token_hex(6)}", name, wants, request.user), LOST_PLACE if request.ticket else ""

    async def _wait_and_begin(
        self, waiter: Waiter, request: pb.OpenRequest, environment: Environment, note: str
    ) -> AsyncIterator[pb.OpenUpdate]:
        try:
            await self._books.wait(waiter.session_id, request.user, bool(waiter.arrived))
            await self._care.refresh()
            self._queue.join(waiter)
            while waiter.session_id not in self._sessions.by_id:
                self._care.arrange()
                async with aclosing(self._wait(waiter, request, note)) as updates:
                    async for update in updates:
                        yield update
                if isinstance(waiter.told, Chosen) and not self._pool.ready(self._kind(waiter.told, environment)):
                    yield _waiting("starting a worker")
                await self._begin(waiter, request, environment)
        finally:
            self._leave(waiter)

    def _leave(self, waiter: Waiter) -> None:
        self._queue.leave(waiter)
        if waiter.session_id not in self._sessions.by_id:
            self._queue.give_back(waiter.session_id)
            self._books.gave_up(waiter.session_id)
            if not self._care.finished.is_set():  # else whoever waits comes back to the next gateway
                self._books.left(waiter.session_id)
        self._care.arrange()

    async def _wait(self, waiter: Waiter, request: pb.OpenRequest, note: str) -> AsyncIterator[pb.OpenUpdate]:
        """Yield updates until the devices are there; the place is written down before the first of them."""
        is_first = True
        while not isinstance(answer := await waiter.answers.get(), Chosen):
            if isinstance(answer, Failed):
                raise answer
            if request.no_wait:
                raise self._busy(answer.reason, ", ".join(answer.holders))
            update = self._update(waiter, answer, note if is_first else "")
            if is_first:
                await self._books.queue(_place(waiter, request))
            is_first = False
            yield update

    def _busy(self, reason: str, holder: str) -> Failed:
        free = free_now(self._care.floor())
        return Failed(
            "target-busy",
            f"{reason}; free now: {', '.join(free) or 'nothing'}",
            "run it without --no-wait to queue, or choose another target",
            {"holder": holder, "free": "\n".join(free)},
        )

    def _update(self, waiter: Waiter, wait: Wait, note: str) -> pb.OpenUpdate:
        """Return what the waiting client is told."""
        update = _waiting(wait.reason, wait.place, ", ".join(wait.holders), note)
        update.waiting.ticket = waiter.session_id
        release_in_s, left = self._care.release_in_s(wait.victims), self._outlook.of(waiter)
        if release_in_s is not None:
            update.waiting.release_in_s = release_in_s
        if left is not None:
            update.waiting.estimate_s, update.waiting.rests_on = left.seconds, left.rests_on
        return update

    async def _begin(self, waiter: Waiter, request: pb.OpenRequest, environment: Environment) -> None:
        chosen = waiter.told
        assert isinstance(chosen, Chosen)
        target = request.target or "any"
        opening = Opening(
            waiter.session_id, waiter.name, request.notebook, request.user, target, request.idle_s, chosen.devices,
            self._kind(chosen, environment), await self._admission.variables(request), chosen.share_bytes,
            tuple(self._admission.engine.places(environment)),
        )  # fmt: skip
        self._books.start(waiter.session_id, [device.id for device in chosen.devices])
        directory = self._sessions.directories.take(waiter.name, self._sessions.guest(request.user))
        await builds.furnish(self._admission.engine, environment, directory)
        try:
            await self._sessions.begin(opening)
        except Refused as refused:
            # Somebody outside this runtime holds a device: leave it alone for a while and wait at the head.
            self._queue.give_back(waiter.session_id)
            self._queue.block([d.id for d in chosen.devices], refused.holder, self._clock() + LOCKED_S)
            self._books.back(waiter.session_id)
            waiter.told = None
            self._queue.join(waiter, first=True)

    def _kind(self, chosen: Chosen, environment: Environment) -> Kind:
        bound = self._admission.engine.bound(chosen.devices)
        return Kind(environment, bound, bool(bound) and chosen.share_bytes is not None)

    async def warm(self, request: pb.WarmRequest) -> pb.WarmReply:
        """Have a worker started for somebody who will soon open a session, where that costs nobody anything.

        Raises:
            Failed: The target cannot be read, or the engine cannot make such a worker.
        """
        asked = pb.OpenRequest(target=request.target, user=request.caller.user)
        if request.HasField("environment"):
            asked.environment.CopyFrom(request.environment)
        wants = shared(wants_of(request.target), asked, self._lease_memory_bytes)
        environment = await self._admission.environment(asked)
        decision = decide(wants, self._care.floor())
        if not isinstance(decision, Chosen) or self._queue.waiting:
            return pb.WarmReply(reason="somebody holds what it would run on, or waits")
        warming = await self._pool.prepared(self._kind(decision, environment))
        why_not = "there is no room for a spare worker, or it did not start"
        return pb.WarmReply(warming=warming, reason="" if warming else why_not)


def _place(waiter: Waiter, request: pb.OpenRequest) -> Place:
    target = request.target or "any"
    return Place(waiter.session_id, waiter.arrived, waiter.name, target, request.notebook, request.user)


def wants_of(target: str) -> tuple[Want, ...]:
    """Return what a target asks for; none means any.

    Raises:
        Failed: code "bad-target", when it cannot be read.
    """
    try:
        return parse_target(target or "any")
    except ValueError as error:
        what, _, hint = str(error).partition("\nhint: ")
        raise Failed("bad-target", what, hint, {"target": target}) from error


def shared(wants: Sequence[Want], request: pb.OpenRequest, lease_memory_bytes: int | None) -> tuple[Want, ...]:
    """Return the wants with the share of each device that the request means, the runtime's default behind it.

    Args:
        wants: A share in the target itself comes first.
        request: Its `exclusive` means that no device is shared.
        lease_memory_bytes: The runtime's default; None means all of a device.
    """
    if request.exclusive:
        return tuple(replace(want, share_bytes=None) for want in wants)
    asked = request.device_memory_bytes if request.HasField("device_memory_bytes") else lease_memory_bytes
    return tuple(want if want.kind == "cpu" else replace(want, share_bytes=want.share_bytes or asked) for want in wants)


def check_versions(kernel: pb.Versions, worker: pb.Versions) -> None:
    """Compare a kernel's versions with those that a worker will have.

    Raises:
        Failed: code "version-mismatch", with a table, when they cannot exchange values.
    """
    rows = versions.blocking(kernel, worker)
    if rows:
        table = versions.table(kernel, worker, rows)
        raise Failed(
            "version-mismatch",
            f"{' and '.join(rows)} differ between this kernel and the worker\n{table}",
            f"use a kernel with python {worker.python} and warmcell {worker.warmcell}, or a worker with the kernel's: "
            f"`%gpu use --python {'.'.join(kernel.python.split('.')[:2])}`",
            {"rows": ",".join(rows)},
        )


def _another_target(session: Session, asked: str) -> Failed:
    name, has = session.record.name, session.record.target
    return Failed(
        "bad-target",
        f"session {name} runs on {has} and was asked for on {asked}",
        f"choose another --session, or release this one with `warmcell stop {name}`",
        {"session": name, "target": has, "asked": asked},
    )


def _another_environment(session: Session) -> Failed:
    name = session.record.name
    return Failed(
        "bad-target",
        f"session {name} runs in another environment than the one asked for",
        f"choose another --session, or release this one with `%gpu stop {name}`",
        {"session": name},
    )


def _waiting(reason: str, place: int = 0, holder: str = "", note: str = "") -> pb.OpenUpdate:
    return pb.OpenUpdate(waiting=pb.Waiting(place=place, holder=holder, reason=reason, note=note))


def unix_path(address: str) -> str:
    """Return the path of a Unix address, "" for another kind."""
    return address.removeprefix("unix:") if address.startswith("unix:") else ""


def _granted(session: Session, fresh: bool, wait_s: float, found: pb.Versions) -> pb.Granted:
    record, info, address = session.record, session.info, session.slot.address
    return pb.Granted(
        session_id=record.session_id, unix=unix_path(address),
        token=record.token, incarnation=info.incarnation if info and info.incarnation else record.incarnation,
        devices=[wire_device(d, record.name) for d in record.devices], fresh=fresh, versions=found,
        wait_s=wait_s,
    )  # fmt: skip
