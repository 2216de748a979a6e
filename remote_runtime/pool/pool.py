"""The pool of workers: some are kept warm, each is handed out once, and replaced in the background.

take(kind) -> warm slot at once, a paused one that is woken, or the next that gets ready
refill: launch until everybody who waits in take() is covered, and what `scaling` keeps spare of each kind
engine.watch() -> steps of the slots -> on_gone
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from remote_runtime.engines.base import Engine, Exit, Phase, WorkerEvent, WorkerSpec
from remote_runtime.pool.endings import describe
from remote_runtime.pool.scaling import Kind, PoolSettings, spare
from remote_runtime.pool.slots import Slot, State, Step
from remote_runtime.wire.failures import Failed

_log = logging.getLogger(__name__)

OWN_KIND = Kind()


_RETRY_MOST_S = 30.0
_IDLE = (State.WARM, State.PAUSED)


@dataclass(eq=False)
class _Taker:
    """Somebody who waits for a worker of a kind."""

    kind: Kind
    slot: asyncio.Future[Slot] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Pool:
    """Hands out warm workers.

    Args:
        engine: Starts and stops them; an attribute too.
        settings: How many.
        on_gone: Called when a worker has ended that was leased or on its way to be.
    """

    def __init__(self, engine: Engine, settings: PoolSettings, on_gone: Callable[[Slot, Exit], None]) -> None:
        self.engine, self._settings, self._on_gone = engine, settings, on_gone
        self.slots: dict[str, Slot] = {}
        self._takers: deque[_Taker] = deque()
        self._asked_at: dict[Kind, float] = {}
        self._pausing: dict[str, asyncio.Future[None]] = {}
        self._failures_count = 0
        self._wake, self._asked, self._changed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._open = True

    async def adopt(self) -> Sequence[Slot]:
        """Take over the workers that the engine finds; those that are ready count as warm."""
        for status in await self.engine.list():
            slot = Slot(status.spec, address=status.address, pid=status.pid, warm_at=self._now)
            slot.step(Step.LAUNCH)
            if status.phase is Phase.READY:
                slot.step(Step.READY)
            self.slots[slot.worker_id] = slot
        return list(self.slots.values())

    def start(self) -> None:
        """Begin to follow the engine and to keep slots warm."""
        self._tasks = [asyncio.ensure_future(self._follow()), asyncio.ensure_future(self._keep_warm())]
        self._wake.set()

    @property
    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def in_state(self, *states: State) -> list[Slot]:
        """Return the slots in some states, oldest first."""
        return [slot for slot in self.slots.values() if slot.state in states]

    def ready(self, kind: Kind = OWN_KIND) -> list[Slot]:
        """Return the slots of a kind that could be taken now, warm ones before those that have to be woken."""
        of_kind = [slot for slot in self.in_state(*_IDLE) if slot.kind == kind]
        return sorted(of_kind, key=lambda slot: slot.state is State.PAUSED)

    # ---- taking ---------------------------------------------------------------------------------------------

    async def take(self, kind: Kind = OWN_KIND) -> Slot:
        """Return a slot that is now leased to the caller, waiting for one where none is ready.

        Args:
            kind: What its worker must be.

        Args:
            devices: Real ones that it shall have. Where the engine gives them to a worker at its start alone,
                one is started for them, and nobody else gets it.

        Raises:
            Failed: The engine could not start one.
        """
        self._asked_at[kind] = self._now
        while ready := self.ready(kind):
            if await self._claimed(ready[0]):
                return ready[0]
        taker = _Taker(kind)
        self._takers.append(taker)
        self._wake.set()
        self._asked.set()
        try:
            return await taker.slot
        except asyncio.CancelledError:
            given = taker.slot
            if given.done() and not given.cancelled() and given.exception() is None:
                self.give_back(given.result())
            raise
        finally:
            with suppress(ValueError):
                self._takers.remove(taker)

    async def _claimed(self, slot: Slot) -> bool:
        """Lease a slot, waking its worker; one that does not wake is given up."""
        was_paused = slot.state is State.PAUSED
        self.lease(slot)
        if not was_paused:
            return True
        try:
            await self._pausing.pop(slot.worker_id)
            await self.engine.resume(slot.worker_id)
        except Failed as failure:
            _log.warning("worker %s does not wake: %s", slot.worker_id, failure.message)
            await self.discard(slot, poisoned=True)
            return False
        return True

    def lease(self, slot: Slot) -> None:
        """Mark a slot as held, and have it replaced."""
        slot.step(Step.CLAIM)
        asyncio.get_running_loop().call_later(self._settings.refill_delay_s, self._wake.set)

    def give_back(self, slot: Slot) -> None:
        """Return a slot whose worker nobody has used."""
        if slot.state is State.LEASED:
            slot.step(Step.GIVE_BACK)
            slot.warm_at = self._now
            self._serve()

    def _serve(self) -> None:
        """Give warm slots to those who wait, first come first served."""
        for taker in [*self._takers]:
            warm = [slot for slot in self.ready(taker.kind) if slot.state is State.WARM]
            if warm and not taker.slot.done():
                self.lease(warm[0])
                taker.slot.set_result(warm[0])
                self._takers.remove(taker)

    # ---- warming --------------------------------------------------------------------------------------------

    def prepare(self, kind: Kind) -> bool:
        """Have a worker of a kind started for somebody who will soon ask, unless that costs anybody a place.

        Returns:
            Whether one is ready or on its way.
        """
        if self._coming()[kind]:
            return True
        if self._waiting() or len(self.slots) >= self._settings.max_workers:
            return False
        self._asked_at[kind] = self._now
        self._wake.set()
        return True

    async def prepared(self, kind: Kind) -> bool:
        """Wait until a worker that `prepare` began is ready; False where none was begun, or it could not be started."""
        if not self.prepare(kind):
            return False
        while not self.ready(kind) and self._coming()[kind] + (kind in self._asked_at):
            self._changed.clear()
            await self._changed.wait()
        return bool(self.ready(kind))

    def tidy(self) -> list[Slot]:
        """Let sleep what nobody asked for in a while, and return what is no longer kept spare."""
        kinds, surplus = Counter(slot.kind for slot in self.in_state(*_IDLE)), []
        for slot in self.in_state(*_IDLE):
            if slot.kind != OWN_KIND and kinds[slot.kind] > self._spare(slot.kind):
                kinds[slot.kind] -= 1
                surplus.append(slot)
            elif slot.state is State.WARM and self._may_sleep(slot):
                slot.step(Step.PAUSE)
                self._pausing[slot.worker_id] = asyncio.ensure_future(self._pause(slot))
        return surplus

    def _may_sleep(self, slot: Slot) -> bool:
        idle_s = self._now - max(slot.warm_at, self._asked_at.get(slot.kind, slot.warm_at))
        return self.engine.describe().pause and idle_s >= self._settings.policy.pause_after_s

    async def _pause(self, slot: Slot) -> None:
        try:
            await self.engine.pause(slot.worker_id)
        except Failed as failure:
            _log.warning("worker %s cannot be paused: %s", slot.worker_id, failure.message)

    def _spare(self, kind: Kind) -> int:
        leased = sum(slot.kind == kind for slot in self.in_state(State.LEASED))
        asked_at = self._asked_at.get(kind)
        return spare(kind, leased, None if asked_at is None else self._now - asked_at, self._settings.policy)

    def _coming(self) -> Counter[Kind]:
        return Counter(slot.kind for slot in self.in_state(State.COLD, State.STARTING, *_IDLE))

    def _waiting(self) -> list[_Taker]:
        return [taker for taker in self._takers if not taker.slot.done()]

    def _lacking(self) -> Kind | None:
        """Return of what a worker lacks: for whoever waits first, then what is kept spare."""
        coming = self._coming()
        for taker in self._waiting():
            if not coming[taker.kind]:
                return taker.kind
            coming[taker.kind] -= 1
        if len(self.slots) >= self._settings.max_workers:
            return None
        kinds = dict.fromkeys((OWN_KIND, *self._asked_at))
        return next((kind for kind in kinds if coming[kind] < self._spare(kind)), None)

    async def _keep_warm(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._open and (kind := self._lacking()) is not None:
                await self._launch_one(kind)

    async def _launch_one(self, kind: Kind) -> None:
        await self._back_off()
        for idle in self.in_state(*_IDLE):
            if idle.kind.excludes(kind):
                await self.discard(idle)
        made_with = {"environment": kind.environment, "shared": kind.shared}
        spec = WorkerSpec(secrets.token_hex(6), secrets.token_urlsafe(32), kind.devices, **made_with)  # type: ignore[arg-type]
        slot = Slot(spec)
        self.slots[slot.worker_id] = slot
        slot.step(Step.LAUNCH)
        try:
            await self.engine.launch(spec)
        except (Failed, OSError, asyncio.CancelledError) as error:
            self.slots.pop(slot.worker_id, None)
            if isinstance(error, asyncio.CancelledError):
                raise
            self._start_failed(error if isinstance(error, Failed) else _not_started(error), kind)

    async def _back_off(self) -> None:
        """Wait longer after each failed start, but try at once for somebody who asks anew."""
        self._asked.clear()
        if self._failures_count:
            delay_s = min(_RETRY_MOST_S, self._settings.retry_s * 2 ** (self._failures_count - 1))
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._asked.wait(), delay_s)

    def _start_failed(self, failure: Failed, kind: Kind) -> None:
        self._failures_count += 1
        self._changed.set()
        _log.warning("%s", failure)
        waiting = [taker for taker in self._waiting() if taker.kind == kind]
        if waiting:
            waiting[0].slot.set_exception(failure)
        elif kind != OWN_KIND:
            self._asked_at.pop(kind, None)  # nobody waits: it is tried again when somebody does

    # ---- ending ---------------------------------------------------------------------------------------------

    async def discard(self, slot: Slot, poisoned: bool = False) -> None:
        """End a slot's worker; it is used by nobody again.

        Args:
            slot: Whose.
            poisoned: It misbehaved and is killed without grace.
        """
        if slot.state is State.GONE:
            return
        if poisoned and slot.state is not State.STOPPING:
            slot.step(Step.FAIL)
            _log.warning("worker %s is given up: %s", slot.worker_id, await self.engine.boot_log(slot.worker_id))
        if slot.state is State.GONE:
            return
        was_paused = slot.state is State.PAUSED
        slot.step(Step.STOP)
        if poisoned or was_paused:
            await self.engine.kill(slot.worker_id)
        else:
            await self.engine.stop(slot.worker_id, self._settings.stop_grace_s)

    async def drain(self) -> None:
        """End every worker that nobody holds, and start no more."""
        await self._stop_launching()
        spare_slots = self.in_state(State.STARTING, *_IDLE, State.POISONED)
        for slot in spare_slots:
            slot.step(Step.STOP)
        # Without grace: nobody has used them, and one that is still starting would not hear a request.
        await asyncio.gather(*(self.engine.kill(slot.worker_id) for slot in spare_slots))

    async def _stop_launching(self) -> None:
        self._open = False
        for task in self._tasks[1:]:
            task.cancel()
        await asyncio.gather(*self._tasks[1:], *self._pausing.values(), return_exceptions=True)

    async def close(self) -> None:
        """Stop following; workers run on."""
        self._open = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ---- following ------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        async for event in self.engine.watch():
            slot = self.slots.get(event.worker_id)
            if slot is not None:
                self._apply(slot, event)
                self._serve()
                self._wake.set()
                self._changed.set()

    def _apply(self, slot: Slot, event: WorkerEvent) -> None:
        slot.address, slot.pid = event.address or slot.address, event.pid or slot.pid
        if event.phase is Phase.READY and slot.state is State.STARTING:
            self._failures_count = 0
            slot.step(Step.READY)
            slot.warm_at = self._now
        elif event.phase is Phase.EXITED and slot.state is not State.GONE:
            self._gone(slot, event.exit or Exit("unknown"))

    def _gone(self, slot: Slot, how: Exit) -> None:
        before = slot.state
        slot.step(Step.EXIT)
        del self.slots[slot.worker_id]
        if before is State.STARTING:
            what, facts = f"a worker ended while it started ({describe(how)})", {"worker": slot.worker_id}
            self._start_failed(Failed("unavailable", what, "see `warmcell logs`", facts), slot.kind)
        if before in (State.LEASED, State.STOPPING):
            self._on_gone(slot, how)


def _not_started(error: OSError) -> Failed:
    return Failed("unavailable", f"a worker could not be started: {error}", "see `warmcell logs`")
