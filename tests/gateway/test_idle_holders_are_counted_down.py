"""Idle sessions are released only for somebody who waits or by their own policy, and counted down before that."""

from __future__ import annotations

import pytest

from remote_runtime.wire import messages_pb2 as pb
from tests.gateway.conftest import Play
from tests.gateway.rig import Rig


def test_an_idle_holder_is_counted_down_and_both_are_told(play: Play) -> None:
    async def body(rig: Rig) -> None:
        holder = await rig.open("A100", "first")
        keeper = rig.keeper(holder)
        keeper.info.names.extend(["model", "data"])
        await rig.look(5)
        waiter = await rig.open("A100", "second")
        assert waiter.waiting.release_in_s == 60
        assert keeper.notices[-1].release_in_s == 60
        assert keeper.notices[-1].text == (
            "session first is released in 60 s because session second waits for what it holds; "
            "it would lose: model, data; any run keeps it"
        )
        await rig.look(59)
        assert not waiter.granted
        await rig.look(2)
        assert waiter.granted
        reply = await rig.gateway.exit(pb.ExitRequest(session_id=holder.granted.session_id))
        assert (reply.gone, reply.reason) == (True, "lease")

    play(body)


def test_a_session_that_nobody_is_attached_to_goes_sooner(play: Play) -> None:
    async def body(rig: Rig) -> None:
        holder = await rig.open("A100", "first")
        rig.keeper(holder).info.attached_count = 0
        await rig.look(6)
        waiter = await rig.open("A100", "second")
        assert waiter.waiting.release_in_s == 5
        await rig.look(6)
        assert waiter.granted

    play(body)


@pytest.mark.parametrize("still_running", [True, False], ids=["running", "already over"])
def test_a_run_during_the_countdown_keeps_the_session(play: Play, still_running: bool) -> None:
    async def body(rig: Rig) -> None:
        holder = await rig.open("A100", "first")
        waiter = await rig.open("A100", "second")
        rig.now += 30
        rig.run(holder)
        if not still_running:
            rig.rest(holder)
        await rig.look(1)
        assert "session first is kept" in [n.text for n in rig.keeper(holder).notices]
        await rig.look(31)
        assert not waiter.granted
        assert waiter.waiting.HasField("release_in_s") is not still_running

    play(body)


def test_the_countdown_stops_when_nobody_waits_any_more(play: Play) -> None:
    async def body(rig: Rig) -> None:
        holder = await rig.open("A100", "first")
        waiter = await rig.open("A100", "second")
        waiter.task.cancel()
        await rig.settle()
        await rig.look(100)
        assert rig.keeper(holder).notices[-1].text == "session first is kept"
        assert rig.gateway.care.release_in_s([holder.granted.session_id]) is None

    play(body)


def test_nothing_idle_is_released_while_nobody_waits(play: Play) -> None:
    async def body(rig: Rig) -> None:
        holder = await rig.open("A100", "first")
        for _ in range(3):
            await rig.look(100_000)
        assert not rig.keeper(holder).notices

    play(body)


def test_an_idle_policy_counts_down_by_itself(play: Play) -> None:
    async def body(rig: Rig) -> None:
        holder = await rig.open("A100", "first", idle_s=600.0)
        await rig.look(599)
        assert not rig.keeper(holder).notices
        await rig.look(2)
        assert "because it was idle for 600 s" in rig.keeper(holder).notices[0].text
        await rig.look(61)
        assert not rig.engine.workers.keys() & {holder.granted.unix[1:]}

    play(body)


def test_a_keeper_that_is_silent_is_not_taken_for_idle(play: Play) -> None:
    async def body(rig: Rig) -> None:
        holder = await rig.open("A100", "first")
        waiter = await rig.open("A100", "second")
        rig.keeper(holder).silent = True
        await rig.look(1)
        assert rig.gateway.care.release_in_s([holder.granted.session_id]) is None
        await rig.look(100)
        assert not waiter.granted

    play(body)
