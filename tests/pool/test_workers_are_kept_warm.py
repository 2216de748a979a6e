from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from remote_runtime.engines.base import Capabilities, Exit
from remote_runtime.pool.pool import Pool, PoolSettings, describe
from remote_runtime.pool.slots import Slot, State
from remote_runtime.wire.failures import Failed
from tests.engines.memory import MemoryEngine, settle


def with_pool(
    body: Callable[[Pool, MemoryEngine], Awaitable[None]], engine: MemoryEngine | None = None, **settings: float
) -> list[tuple[Slot, Exit]]:
    gone: list[tuple[Slot, Exit]] = []

    async def run() -> None:
        used = engine or MemoryEngine()
        pool = Pool(used, PoolSettings(**{"retry_s": 0.001, "refill_delay_s": 0, **settings}), lambda *both: gone.append(both))
        await pool.adopt()
        pool.start()
        await settle()
        try:
            await asyncio.wait_for(body(pool, used), 10)
        finally:
            await pool.close()

    asyncio.run(run())
    return gone


def test_what_is_taken_is_replaced() -> None:
    async def body(pool: Pool, engine: MemoryEngine) -> None:
        assert len(pool.in_state(State.WARM)) == 1
        slot = await pool.take()
        await settle()
        assert slot.state is State.LEASED
        assert len(pool.in_state(State.WARM)) == 1
        assert len(engine.launched) == 2

    with_pool(body)


def test_with_none_warm_the_first_who_asks_is_served_first() -> None:
    async def body(pool: Pool, engine: MemoryEngine) -> None:
        first, second = asyncio.ensure_future(pool.take()), asyncio.ensure_future(pool.take())
        await settle()
        one, two = engine.launched
        engine.ready(two)
        assert (await first).worker_id == two
        engine.ready(one)
        assert (await second).worker_id == one

    with_pool(body, MemoryEngine(prompt=False), min_warm=0)


def test_one_who_gives_up_waiting_leaves_no_lease() -> None:
    async def body(pool: Pool, engine: MemoryEngine) -> None:
        taker = asyncio.ensure_future(pool.take())
        await settle()
        taker.cancel()
        await settle()
        engine.ready(engine.launched[0])
        await settle()
        assert not pool.in_state(State.LEASED)

    with_pool(body, MemoryEngine(prompt=False), min_warm=0)


def test_a_failed_start_is_told_and_tried_again() -> None:
    async def body(pool: Pool, engine: MemoryEngine) -> None:
        with pytest.raises(Failed, match="no space for a fork"):
            await pool.take()
        engine.failure = None
        assert (await pool.take()).state is State.LEASED

    engine = MemoryEngine()
    engine.failure = Failed("unavailable", "no space for a fork")
    with_pool(body, engine, min_warm=0)


def test_a_worker_that_ends_while_starting_is_told_to_who_waits() -> None:
    async def body(pool: Pool, engine: MemoryEngine) -> None:
        taker = asyncio.ensure_future(pool.take())
        await settle()
        engine.end(engine.launched[0], Exit("start-failed", 70))
        with pytest.raises(Failed, match="start-failed, exit code 70"):
            await taker

    with_pool(body, MemoryEngine(prompt=False), min_warm=0)


def test_a_leased_worker_that_ends_is_reported_once_and_a_warm_one_replaced() -> None:
    async def body(pool: Pool, engine: MemoryEngine) -> None:
        slot = await pool.take()
        await settle()
        spare = pool.in_state(State.WARM)[0]
        engine.end(slot.worker_id, Exit("killed", None, 9))
        engine.end(spare.worker_id, Exit("killed", None, 9))
        await settle()
        assert len(pool.in_state(State.WARM)) == 1

    gone = with_pool(body)
    assert [(slot.state, how.signal) for slot, how in gone] == [(State.GONE, 9)]


def test_a_poisoned_slot_is_killed_and_nobody_gets_it() -> None:
    async def body(pool: Pool, engine: MemoryEngine) -> None:
        slot = await pool.take()
        await pool.discard(slot, poisoned=True)
        await settle()
        assert engine.killed == [slot.worker_id]
        assert (await pool.take()).worker_id != slot.worker_id

    with_pool(body)


def test_no_more_workers_than_there_is_room_for() -> None:
    async def body(pool: Pool, engine: MemoryEngine) -> None:
        await asyncio.gather(pool.take(), pool.take(), pool.take())
        await settle()
        assert len(pool.slots) == 3

    with_pool(body, max_workers=3)


def test_draining_ends_what_nobody_holds() -> None:
    async def body(pool: Pool, engine: MemoryEngine) -> None:
        slot = await pool.take()
        await settle()
        await pool.drain()
        await settle()
        assert list(engine.workers) == [slot.worker_id]

    with_pool(body)


def test_found_workers_are_warm() -> None:
    async def body(pool: Pool, engine: MemoryEngine) -> None:
        assert [slot.worker_id for slot in pool.in_state(State.WARM)] == ["old"]
        assert engine.launched == []

    engine = MemoryEngine()

    async def prepare() -> None:
        from remote_runtime.engines.base import WorkerSpec

        await engine.launch(WorkerSpec("old", "s"))
        engine.launched.clear()

    asyncio.run(prepare())
    with_pool(body, engine)


@pytest.mark.parametrize(
    ("how", "text"),
    [
        (Exit("killed", None, 11), "killed by SIGSEGV"),
        (Exit("killed", None, 63), "killed by signal 63"),
        (Exit("unknown", 3), "unknown, exit code 3"),
        (Exit("unknown"), "nobody saw how"),
        (Exit("stopped", 0), "stopped"),
    ],
)
def test_an_end_in_words(how: Exit, text: str) -> None:
    assert describe(how) == text


class BoundEngine(MemoryEngine):
    """An engine whose workers get real devices when they start."""

    def describe(self) -> Capabilities:
        return Capabilities("bound", (), ("unix",), late_devices=False)


def test_where_devices_are_given_at_the_start_a_worker_is_started_for_them_and_is_nobody_else_s() -> None:
    async def body(pool: Pool, engine: MemoryEngine) -> None:
        slot = await pool.take(["GPU-1"])
        assert (slot.state, slot.spec.devices) == (State.LEASED, ("GPU-1",))
        assert engine.workers[slot.worker_id].spec.devices == ("GPU-1",)
        assert (await pool.take()).spec.devices == ()
        pool.give_back(slot)
        await settle()
        assert (await pool.take()) is not slot

    with_pool(body, BoundEngine())


def test_a_worker_for_devices_that_does_not_start_is_told_to_who_asked() -> None:
    async def body(pool: Pool, engine: MemoryEngine) -> None:
        asked = asyncio.ensure_future(pool.take(["GPU-1"]))
        await settle()
        engine.end(engine.launched[-1], Exit("memory", None, 9, "its container reached its limit"))
        with pytest.raises(Failed, match="its container reached its limit"):
            await asked
        assert not [slot for slot in pool.slots.values() if slot.spec.devices]

    with_pool(body, BoundEngine(prompt=False), min_warm=0)
