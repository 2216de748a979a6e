"""The pool of workers: some are kept warm, each is handed out once, and replaced in the background.

take() -> warm slot at once, or the next that gets ready      engine.watch() -> steps of the slots -> on_gone
refill: launch until (warm + starting) covers min_warm and everybody who waits in take()
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from remote_runtime.engines.base import Engine, Exit, Phase, WorkerEvent, WorkerSpec
from remote_runtime.pool.slots import Slot, State, Step
from remote_runtime.wire.failures import Failed

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PoolSettings:
    """How many workers are kept.

    Args:
        min_warm: Ready for the next claim.
        max_workers: Most workers alive at once; whoever waits for one is served first.
        refill_delay_s: From a claim to its replacement, which would compete with the first run for the
            processor.
        retry_s: Wait after a failed start, doubled with each failure in a row.
        stop_grace_s: Between asking a worker to end and killing it.
    """

    min_warm: int = 1
    max_workers: int = 32
    refill_delay_s: float = 0.05
    retry_s: float = 0.5
    stop_grace_s: float = 2.0


_RETRY_MOST_S = 30.0


class Pool:
    """Hands out warm workers.

    Args:
        engine: Starts and stops them.
        settings: How many.
        on_gone: Called when a worker has ended that was leased or on its way to be.
    """

    def __init__(self, engine: Engine, settings: PoolSettings, on_gone: Callable[[Slot, Exit], None]) -> None:
        self._engine, self._settings, self._on_gone = engine, settings, on_gone
        self.slots: dict[str, Slot] = {}
        self._bound: dict[str, asyncio.Future[None]] = {}
        self._takers: deque[asyncio.Future[Slot]] = deque()
        self._failures_count = 0
        self._wake, self._asked = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._open = True

    async def adopt(self) -> Sequence[Slot]:
        """Take over the workers that the engine finds; those that are ready count as warm."""
        for status in await self._engine.list():
            slot = Slot(status.spec, address=status.address, pid=status.pid)
            slot.step(Step.LAUNCH)
            if status.phase is Phase.READY:
                slot.step(Step.READY)
            self.slots[slot.worker_id] = slot
        return list(self.slots.values())

    def start(self) -> None:
        """Begin to follow the engine and to keep slots warm."""
        self._tasks = [asyncio.ensure_future(self._follow()), asyncio.ensure_future(self._keep_warm())]
        self._wake.set()

    def in_state(self, *states: State) -> list[Slot]:
        """Return the slots in some states, oldest first."""
        return [slot for slot in self.slots.values() if slot.state in states]

    async def take(self, devices: Sequence[str] = ()) -> Slot:
        """Return a slot that is now leased to the caller, waiting for one where none is warm.

        Args:
            devices: Real ones that it shall have. Where the engine gives them to a worker at its start alone,
                one is started for them, and nobody else gets it.

        Raises:
            Failed: The engine could not start one.
        """
        if devices and not self._engine.describe().late_devices:
            return await self._take_bound(tuple(devices))
        warm = self._unbound(State.WARM)
        if warm:
            self.lease(warm[0])
            return warm[0]
        taker: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        self._takers.append(taker)
        self._wake.set()
        self._asked.set()
        try:
            return await taker
        except asyncio.CancelledError:
            if taker.done() and not taker.cancelled() and taker.exception() is None:
                self.give_back(taker.result())
            raise
        finally:
            with suppress(ValueError):
                self._takers.remove(taker)

    def _unbound(self, *states: State) -> list[Slot]:
        """Return the slots in some states that may be anybody's."""
        return [slot for slot in self.in_state(*states) if not slot.spec.devices]

    async def _take_bound(self, devices: tuple[str, ...]) -> Slot:
        slot = Slot(WorkerSpec(secrets.token_hex(6), secrets.token_urlsafe(32), devices))
        ready = self._bound[slot.worker_id] = asyncio.get_running_loop().create_future()
        self.slots[slot.worker_id] = slot
        slot.step(Step.LAUNCH)
        try:
            await self._engine.launch(slot.spec)
            await ready
        except BaseException:  # whatever ends the waiting: nobody else may get this worker
            self.slots.pop(slot.worker_id, None)
            await asyncio.shield(self._engine.kill(slot.worker_id))
            raise
        finally:
            del self._bound[slot.worker_id]
        return slot

    def lease(self, slot: Slot) -> None:
        """Mark a warm slot as held, and have it replaced."""
        slot.step(Step.CLAIM)
        asyncio.get_running_loop().call_later(self._settings.refill_delay_s, self._wake.set)

    def give_back(self, slot: Slot) -> None:
        """Return a slot whose worker nobody has used."""
        if slot.state is State.LEASED:
            slot.step(Step.GIVE_BACK)
            self._serve()

    async def enter(self, slot: Slot, directory: Path) -> str:
        """Let a leased slot's worker see a session's directory, and return where it does."""
        return await self._engine.enter(slot.worker_id, directory)

    async def leave(self, slot: Slot) -> None:
        """Take a session's directory away from a worker that was not claimed after all."""
        await self._engine.leave(slot.worker_id)

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
            _log.warning("worker %s is given up: %s", slot.worker_id, await self._engine.boot_log(slot.worker_id))
        if slot.state is State.GONE:
            return
        slot.step(Step.STOP)
        if poisoned:
            await self._engine.kill(slot.worker_id)
        else:
            await self._engine.stop(slot.worker_id, self._settings.stop_grace_s)

    async def drain(self) -> None:
        """End every worker that nobody holds, and start no more."""
        await self._stop_launching()
        spare = self.in_state(State.STARTING, State.WARM, State.POISONED)
        for slot in spare:
            slot.step(Step.STOP)
        # Without grace: nobody has used them, and one that is still starting would not hear a request.
        await asyncio.gather(*(self._engine.kill(slot.worker_id) for slot in spare))

    async def _stop_launching(self) -> None:
        self._open = False
        for task in self._tasks[1:]:
            task.cancel()
        await asyncio.gather(*self._tasks[1:], return_exceptions=True)

    async def close(self) -> None:
        """Stop following; workers run on."""
        self._open = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self) -> None:
        async for event in self._engine.watch():
            slot = self.slots.get(event.worker_id)
            if slot is not None:
                self._apply(slot, event)
                self._serve()
                self._wake.set()

    def _apply(self, slot: Slot, event: WorkerEvent) -> None:
        slot.address, slot.pid = event.address or slot.address, event.pid or slot.pid
        if event.phase is Phase.READY and slot.state is State.STARTING:
            self._failures_count = 0
            slot.step(Step.READY)
            if (waiting := self._bound.get(slot.worker_id)) is not None and not waiting.done():
                slot.step(Step.CLAIM)
                waiting.set_result(None)
        elif event.phase is Phase.EXITED and slot.state is not State.GONE:
            self._gone(slot, event.exit or Exit("unknown"))

    def _gone(self, slot: Slot, how: Exit) -> None:
        before = slot.state
        slot.step(Step.EXIT)
        del self.slots[slot.worker_id]
        if before is State.STARTING:
            text = f"a worker ended while it started ({describe(how)})"
            failure = Failed("unavailable", text, "see `warmcell logs`", {"worker": slot.worker_id})
            waiting = self._bound.get(slot.worker_id)
            if waiting is None:
                self._start_failed(failure)
            elif not waiting.done():
                waiting.set_exception(failure)
        if before in (State.LEASED, State.STOPPING):
            self._on_gone(slot, how)

    def _serve(self) -> None:
        """Give warm slots to those who wait, first come first served."""
        warm = iter(self._unbound(State.WARM))
        while self._takers and (slot := next(warm, None)) is not None:
            taker = self._takers.popleft()
            if not taker.done():
                self.lease(slot)
                taker.set_result(slot)

    def _start_failed(self, failure: Failed) -> None:
        self._failures_count += 1
        _log.warning("%s", failure)
        waiting = [taker for taker in self._takers if not taker.done()]
        if waiting:
            waiting[0].set_exception(failure)

    async def _keep_warm(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._open and self._lacking() > 0:
                await self._launch_one()

    def _lacking(self) -> int:
        coming = len(self._unbound(State.COLD, State.STARTING, State.WARM))
        waiting = sum(not taker.done() for taker in self._takers)
        room = self._settings.max_workers - len(self.slots)
        spare = self._settings.min_warm if room > 0 else 0
        return min(waiting + spare - coming, max(room, waiting - coming))

    async def _launch_one(self) -> None:
        await self._back_off()
        slot = Slot(WorkerSpec(secrets.token_hex(6), secrets.token_urlsafe(32)))
        self.slots[slot.worker_id] = slot
        slot.step(Step.LAUNCH)
        try:
            await self._engine.launch(slot.spec)
        except (Failed, OSError, asyncio.CancelledError) as error:
            self.slots.pop(slot.worker_id, None)
            if isinstance(error, asyncio.CancelledError):
                raise
            self._start_failed(error if isinstance(error, Failed) else _not_started(error))

    async def _back_off(self) -> None:
        """Wait longer after each failed start, but try at once for somebody who asks anew."""
        self._asked.clear()
        if self._failures_count:
            delay_s = min(_RETRY_MOST_S, self._settings.retry_s * 2 ** (self._failures_count - 1))
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._asked.wait(), delay_s)


def _not_started(error: OSError) -> Failed:
    return Failed("unavailable", f"a worker could not be started: {error}", "see `warmcell logs`")


def signal_name(number: int) -> str:
    """Return a signal's name, or "signal 64" where it has none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def describe(how: Exit) -> str:
    """Tell in words how a worker ended."""
    if how.detail:
        return how.detail
    if how.signal is not None:
        return f"killed by {signal_name(how.signal)}"
    if how.reason == "unknown" and how.code is None:
        return "nobody saw how"
    return how.reason if how.code in (None, 0) else f"{how.reason}, exit code {how.code}"
