"""What every engine must tell when a worker ends, however it does, and what it must not leave."""

from __future__ import annotations

import asyncio
import signal

import pytest

from remote_runtime.engines.base import Engine, Phase
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from tests.engines.conformance.rigs import Rig, asked, called, ready, send

Told = tuple[str, int | None, int | None]


async def stopped(engine: Engine, name: str, pid: int, address: str) -> None:
    await engine.stop(name, 10)


async def killed(engine: Engine, name: str, pid: int, address: str) -> None:
    await engine.kill(name)


async def by_itself(engine: Engine, name: str, pid: int, address: str) -> None:
    await called(address, "Stop", pb.KeeperStopRequest(grace_s=0, reason="over"))


async def from_outside(engine: Engine, name: str, pid: int, address: str) -> None:
    send(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (stopped, ("stopped", 0, None)),
        (killed, ("killed", None, 9)),
        (by_itself, ("stopped", 0, None)),
        (from_outside, ("killed", None, 9)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_end_is_told_once_with_its_reason_and_leaves_nothing(rig: Rig, how: object, expected: Told) -> None:
    name = how.__name__  # type: ignore[attr-defined]

    async def body(engine: Engine) -> None:
        watcher, event = await ready(engine, name)
        await how(engine, name, event.pid, event.address)  # type: ignore[operator]
        told = (await watcher.until(name, Phase.EXITED)).exit
        assert told is not None
        assert told.reason == expected[0]
        assert told.code in (expected[1], None)  # an engine that ends a worker need not wait for its code
        while any(rig.left().values()):
            await asyncio.sleep(0.01)
        assert watcher.phases(name).count(Phase.EXITED) == 1
        assert await engine.list() == []

    rig.within(body)


@pytest.mark.parametrize("verb", ["stop", "kill"])
def test_ending_what_is_gone_already_is_no_error(rig: Rig, verb: str) -> None:
    async def body(engine: Engine) -> None:
        grace = (1,) if verb == "stop" else ()
        await ready(engine, "gone")
        await asyncio.gather(*(getattr(engine, verb)("gone", *grace) for _ in range(3)))
        await getattr(engine, verb)("gone", *grace)
        await getattr(engine, verb)("never-was", *grace)
        assert await engine.list() == []

    rig.within(body)


def test_a_worker_that_does_not_hear_is_killed_after_the_grace(rig: Rig) -> None:
    async def body(engine: Engine) -> None:
        watcher, event = await ready(engine, "deaf")
        send(event.pid, signal.SIGSTOP)
        await engine.stop("deaf", 0.3)
        assert (await watcher.until("deaf", Phase.EXITED)).exit.code is None  # type: ignore[union-attr]
        assert await engine.list() == []

    rig.within(body)


def test_a_paused_worker_is_silent_and_answers_again(rig: Rig) -> None:
    async def body(engine: Engine) -> None:
        _, event = await ready(engine, "rests")
        if not engine.describe().pause:
            with pytest.raises(Failed, match="cannot pause"):
                await engine.pause("rests")
            return
        await engine.pause("rests")
        with pytest.raises(Failed):
            await asked(event.address, timeout_s=0.3)
        await engine.resume("rests")
        assert (await asked(event.address)).session_id == ""

    rig.within(body)


def test_a_paused_worker_can_be_ended(rig: Rig) -> None:
    async def body(engine: Engine) -> None:
        watcher, event = await ready(engine, "frozen")
        if not engine.describe().pause:
            return
        await engine.pause("frozen")
        await engine.stop("frozen", 0.2)
        assert (await watcher.until("frozen", Phase.EXITED)).exit.reason == "stopped"  # type: ignore[union-attr]
        assert await engine.list() == []

    rig.within(body)


def test_watching_ends_when_the_engine_is_closed_and_workers_live_on(rig: Rig) -> None:
    async def first() -> None:
        engine = rig.engine()
        watcher, event = await ready(engine, "outlives")
        await engine.close()
        await watcher.ended.wait()
        assert (await asked(event.address)).session_id == ""

    async def after(engine: Engine) -> None:
        assert [s.spec.worker_id for s in await engine.list()] == ["outlives"]

    asyncio.run(asyncio.wait_for(first(), 60))
    rig.within(after)
