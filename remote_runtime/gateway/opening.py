"""Opening a session: the one that has the name, or a place in the queue, then a warm worker, then the grant.

OpenRequest -> existing? -> Granted
            -> Waiter -> Waiting ... -> devices -> Sessions.begin -> Granted
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from weakref import WeakValueDictionary

from remote_runtime.gateway.care import Care
from remote_runtime.gateway.sessions import Opening, Refused, Session, Sessions, wire_device
from remote_runtime.pool.placement import Chosen, fits
from remote_runtime.pool.pool import Pool
from remote_runtime.pool.queue import Queue, Wait, Waiter
from remote_runtime.pool.slots import State
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import versions
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.targets import Want, parse_target

LOCKED_S = 2.0
"""How long a device is left alone after a worker found it locked by another runtime of this machine."""


class Opener:
    """Opens sessions.

    Args:
        pool: Where workers come from.
        queue: Where one waits for devices.
        sessions: Where they end up.
        care: Arranges the queue.
        clock: Monotonic seconds.
    """

    def __init__(self, pool: Pool, queue: Queue, sessions: Sessions, care: Care, clock: Callable[[], float]) -> None:
        self._pool, self._queue, self._sessions, self._care, self._clock = pool, queue, sessions, care, clock
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def open(self, request: pb.OpenRequest) -> AsyncIterator[pb.OpenUpdate]:
        """Open a session by name, or return the one that has it: updates while waiting, then the grant.

        Raises:
            Failed: The target cannot be read or met, is held and the client does not wait, or versions
                differ.
        """
        started = self._clock()
        wants = wants_of(request.target)
        check_versions(request.versions)
        name = request.session or f"session-{secrets.token_hex(3)}"
        lock = self._locks.setdefault(name, asyncio.Lock())
        if lock.locked():
            yield _waiting(f"session {name} is being opened by another notebook")
        async with lock:
            session = await self._existing(name, wants, request)
            fresh = session is None
            if session is None:
                waiter = Waiter(f"s-{secrets.token_hex(6)}", name, wants)
                async with aclosing(self._wait_and_begin(waiter, request)) as updates:
                    async for update in updates:
                        yield update
                session = self._sessions.by_id[waiter.session_id]
        yield pb.OpenUpdate(granted=_granted(session, fresh, self._clock() - started))

    async def _existing(self, name: str, wants: Sequence[Want], request: pb.OpenRequest) -> Session | None:
        session = self._sessions.find(name)
        if session is not None and session.ending is not None:
            await session.gone.wait()
            session = None
        if session is not None and not await self._sessions.alive(session):
            session = None
        if session is None and request.must_exist:
            raise Failed("not-found", f"there is no session named {name}", "see `%gpu ps`", {"session": name})
        if session is not None and not fits(wants, session.record.devices):
            raise _another_target(session, request.target)
        return session

    async def _wait_and_begin(self, waiter: Waiter, request: pb.OpenRequest) -> AsyncIterator[pb.OpenUpdate]:
        await self._care.refresh()
        self._queue.join(waiter)
        try:
            while waiter.session_id not in self._sessions.by_id:
                self._care.arrange()
                while not isinstance(answer := await waiter.answers.get(), Chosen):
                    yield self._still_waiting(answer, request)
                if not self._pool.in_state(State.WARM):
                    yield _waiting("starting a worker")
                await self._begin(waiter, answer, request)
        finally:
            self._queue.leave(waiter)
            if waiter.session_id not in self._sessions.by_id:
                self._queue.give_back(waiter.session_id)
            self._care.arrange()

    def _still_waiting(self, answer: Wait | Failed, request: pb.OpenRequest) -> pb.OpenUpdate:
        """Return what the waiting client is told; raise where it does not wait."""
        if isinstance(answer, Failed):
            raise answer
        holders = ", ".join(answer.holders)
        if request.no_wait:
            raise Failed(
                "target-busy",
                answer.reason,
                "run it without --no-wait to queue, or choose another target",
                {"holder": holders},
            )
        update = _waiting(answer.reason, answer.place, holders)
        release_in_s = self._care.release_in_s(answer.victims)
        if release_in_s is not None:
            update.waiting.release_in_s = release_in_s
        return update

    async def _begin(self, waiter: Waiter, chosen: Chosen, request: pb.OpenRequest) -> None:
        target = request.target or "any"
        opening = Opening(waiter.session_id, waiter.name, request.notebook, target, request.idle_s, chosen.devices)
        try:
            await self._sessions.begin(opening)
        except Refused as refused:
            # Somebody outside this runtime holds a device: leave it alone for a while and wait at the head.
            self._queue.give_back(waiter.session_id)
            self._queue.block([d.id for d in chosen.devices], refused.holder, self._clock() + LOCKED_S)
            waiter.told = None
            self._queue.join(waiter, first=True)


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


def check_versions(kernel: pb.Versions) -> None:
    """Compare a kernel's versions with those of this runtime's workers.

    Raises:
        Failed: code "version-mismatch", with a table, when they cannot exchange values.
    """
    worker = versions.here()
    rows = versions.blocking(kernel, worker)
    if rows:
        table = versions.table(kernel, worker, rows)
        raise Failed(
            "version-mismatch",
            f"{' and '.join(rows)} differ between this kernel and the worker\n{table}",
            f"use a kernel with python {worker.python} and warmcell {worker.warmcell}",
            {"rows": ",".join(rows)},
        )


def _another_target(session: Session, asked: str) -> Failed:
    name, has = session.record.name, session.record.target
    return Failed(
        "bad-target",
        f"session {name} runs on {has} and was asked for on {asked}",
        f"choose another --session, or release this one with `%gpu stop {name}`",
        {"session": name, "target": has, "asked": asked},
    )


def _waiting(reason: str, place: int = 1, holder: str = "") -> pb.OpenUpdate:
    return pb.OpenUpdate(waiting=pb.Waiting(place=place, holder=holder, reason=reason))


def unix_path(address: str) -> str:
    """Return the path of a Unix address, "" for another kind."""
    return address.removeprefix("unix:") if address.startswith("unix:") else ""


def _granted(session: Session, fresh: bool, wait_s: float) -> pb.Granted:
    record, info, address = session.record, session.info, session.slot.address
    return pb.Granted(
        session_id=record.session_id, unix=unix_path(address),
        token=record.token, incarnation=info.incarnation if info and info.incarnation else record.incarnation,
        devices=[wire_device(d, record.name) for d in record.devices], fresh=fresh, versions=versions.here(),
        wait_s=wait_s,
    )  # fmt: skip
