"""How many workers of a kind wait for somebody, which of them sleep, and what is warmed ahead."""

from __future__ import annotations

import asyncio

import pytest

from remote_runtime.pool.pool import Pool
from remote_runtime.pool.scaling import Kind, Policy, spare
from remote_runtime.pool.slots import State
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.specs import Environment
from tests.engines.memory import MemoryEngine, settle
from tests.pool.test_workers_are_kept_warm import with_pool

IMAGE = Kind(Environment(image="sha256:1"))
SPARE = [
    (Kind(), 0, None, 2), (Kind(), 9, 0.0, 2),
    (IMAGE, 0, None, 0), (IMAGE, 1, None, 3), (IMAGE, 0, 99.0, 3), (IMAGE, 0, 100.0, 0), (IMAGE, 2, 500.0, 3),
    (Kind(devices=("GPU-1",)), 0, None, 0),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "leased", "unused_s", "count"), SPARE)
def test_how_many_are_kept(kind: Kind, leased: int, unused_s: float | None, count: int) -> None:
    assert spare(kind, leased, unused_s, Policy(2, 3, 100.0)) == count


def test_an_image_that_is_used_has_a_spare_worker_which_goes_when_it_is_used_no_more() -> None:
    async def body(pool: Pool, engine: MemoryEngine) -> None:
        slot = await pool.take(IMAGE)
        await settle()
        assert len(pool.ready(IMAGE)) == 1 and not pool.tidy()
        engine.end(slot.worker_id, None)  # type: ignore[arg-type]
        await settle()
        (surplus,) = pool.tidy()
        await pool.discard(surplus)
        await settle()
        assert not pool.ready(IMAGE) and len(pool.ready()) == 1

    with_pool(body, scaledown_s=0.0)


def test_what_is_warmed_ahead_waits_for_whoever_asks() -> None:
    async def body(pool: Pool, engine: MemoryEngine) -> None:
        assert pool.prepare(IMAGE) and pool.prepare(IMAGE)
        await settle()
        (ahead,) = pool.ready(IMAGE)
        assert await pool.take(IMAGE) is ahead

    with_pool(body)


def test_nothing_is_warmed_ahead_of_somebody_who_waits_or_where_there_is_no_room() -> None:
    async def body(pool: Pool, engine: MemoryEngine) -> None:
        waits = asyncio.ensure_future(pool.take())
        await settle()
        assert not pool.prepare(IMAGE)
        engine.ready(engine.launched[0])
        await waits
        assert not pool.prepare(IMAGE), "there is one worker, and no more are allowed"

    with_pool(body, MemoryEngine(prompt=False), min_warm=0, max_workers=1)


def sleeper() -> MemoryEngine:
    engine = MemoryEngine()
    engine.can_pause = True
    return engine


def test_a_worker_nobody_asks_for_sleeps_and_is_woken() -> None:
    async def body(pool: Pool, engine: MemoryEngine) -> None:
        assert not pool.tidy()
        await settle()
        (slot,) = pool.in_state(State.PAUSED)
        assert engine.paused == [slot.worker_id]
        assert await pool.take() is slot
        assert engine.paused == [] and slot.state is State.LEASED

    with_pool(body, sleeper(), pause_after_s=0.0)


def test_a_warm_worker_goes_before_one_that_sleeps() -> None:
    async def body(pool: Pool, engine: MemoryEngine) -> None:
        pool.tidy()
        await settle()
        pool.prepare(Kind())
        first = await pool.take()
        await settle()
        assert first.state is State.LEASED and [s.state for s in pool.ready()] == [State.WARM]

    with_pool(body, sleeper(), pause_after_s=0.0)


def test_one_that_does_not_wake_is_replaced() -> None:
    async def body(pool: Pool, engine: MemoryEngine) -> None:
        pool.tidy()
        await settle()
        (asleep,) = pool.in_state(State.PAUSED)
        engine.sleeps_on = Failed("unavailable", "it is gone")
        assert await pool.take() is not asleep
        assert asleep.worker_id in engine.killed

    with_pool(body, sleeper(), pause_after_s=0.0)


def test_an_engine_that_cannot_pause_is_not_asked_to() -> None:
    async def body(pool: Pool, engine: MemoryEngine) -> None:
        pool.tidy()
        assert pool.in_state(State.WARM) and not pool.in_state(State.PAUSED)

    with_pool(body, pause_after_s=0.0)


def test_sleeping_workers_end_with_the_pool() -> None:
    async def body(pool: Pool, engine: MemoryEngine) -> None:
        pool.tidy()
        await settle()
        await pool.drain()
        await settle()
        assert not pool.slots and not engine.workers

    with_pool(body, sleeper(), pause_after_s=0.0)
