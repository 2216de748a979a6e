"""An estimate is given where something is known, says what it rests on, and is told anew when it changes."""

from __future__ import annotations

import pytest

from remote_runtime.gateway.estimates import MOST_SAMPLES, History, Left, estimate, left_of
from remote_runtime.wire import messages_pb2 as pb
from tests.gateway.conftest import Play
from tests.gateway.rig import A100, SECOND, Client, Rig


def told(client: Client) -> tuple[float | None, str]:
    waiting = client.waiting
    return (waiting.estimate_s if waiting.HasField("estimate_s") else None), waiting.rests_on


async def busy(rig: Rig, session: str, limit_s: float = 0.0) -> Client:
    client = await rig.open("A100", session)
    rig.run(client, limit_s)
    await rig.look()
    return client


def test_nothing_is_said_where_nothing_is_known(play: Play) -> None:
    async def body(rig: Rig) -> None:
        await busy(rig, "holder")
        assert told(await rig.open("A100", "waiter")) == (None, "")

    play(body)


def test_an_idle_holder_is_counted_down(play: Play) -> None:
    async def body(rig: Rig) -> None:
        await rig.open("A100", "holder")
        assert told(await rig.open("A100", "waiter")) == (60.0, "the countdown of session holder")

    play(body)


def test_a_limited_run_ends_and_its_session_is_counted_down(play: Play) -> None:
    async def body(rig: Rig) -> None:
        await busy(rig, "holder", limit_s=90)
        rests_on = "the --timeout of the run in session holder, and its countdown"
        assert told(await rig.open("A100", "waiter")) == (150.0, rests_on)

    play(body)


async def lived(rig: Rig, session: str, seconds: float) -> None:
    await rig.open("A100", session)
    rig.now += seconds
    await rig.gateway.release(pb.ReleaseRequest(session=session))
    await rig.settle()


def test_three_past_leases_teach_and_two_do_not(play: Play) -> None:
    async def body(rig: Rig) -> None:
        for session, seconds in (("a", 100), ("b", 900)):
            await lived(rig, session, seconds)
        await busy(rig, "two")
        assert told(second := await rig.open("A100", "waiter")) == (None, "")
        second.task.cancel()
        await rig.settle()
        rig.now += 300
        await rig.gateway.release(pb.ReleaseRequest(session="two", force=True))
        await rig.settle()
        await busy(rig, "three")
        rig.now += 40
        assert told(await rig.open("A100", "waiter")) == (260.0, "the median of 3 past leases of A100")

    play(body)


def test_the_second_in_the_queue_waits_for_the_second_device(play: Play) -> None:
    async def body(rig: Rig) -> None:
        await busy(rig, "one", limit_s=500)
        await busy(rig, "two", limit_s=20)
        first, second, third = [await rig.open("A100", name) for name in ("first", "second", "third")]
        assert [told(client)[0] for client in (first, second, third)] == [80.0, 560.0, None]
        assert told(await rig.open("A100:2", "pair")) == (None, "")

    play(body, devices=(A100, SECOND))


def test_an_estimate_that_changed_is_told_again_and_one_that_only_passed_is_not(play: Play) -> None:
    async def body(rig: Rig) -> None:
        holder = await busy(rig, "holder", limit_s=90)
        waiter = await rig.open("A100", "waiter")
        rig.keeper(holder).info.run_left_s = 80
        await rig.look(10)
        assert len(waiter.updates) == 1
        rig.rest(holder)
        rig.run(holder)
        await rig.look(1)
        assert [told(waiter), len(waiter.updates)] == [(None, ""), 2]

    play(body)


def test_the_sessions_own_past_comes_before_the_targets() -> None:
    history = History()
    for seconds in (10, 20, 30):
        history.add("nb", "A100", seconds)
        history.add("other", "A100", seconds * 100)
    history.add("nb", "A100", None)
    assert history.left("nb", "A100", 5) == Left(15, "the median of 3 past leases of session nb")
    assert history.left("new", "A100", 5) == Left(510, "the median of 6 past leases of A100")
    assert history.left("nb", "A100", 20) is None, "it has lasted longer than most: nothing is known"
    assert history.left("new", "H100", 0) is None


def test_the_distant_past_is_forgotten() -> None:
    history = History()
    for seconds in [1.0] * 200 + [50.0] * MOST_SAMPLES:
        history.add("nb", "A100", seconds)
    assert history.left("nb", "A100", 0) == Left(50, f"the median of {MOST_SAMPLES} past leases of session nb")


@pytest.mark.parametrize(
    ("ahead", "holders", "seconds"),
    [(0, [], None), (0, [None], None), (0, [None, 9, 4], 4), (1, [None, 9, 4], 9), (2, [None, 9, 4], None)],
)
def test_place_n_waits_for_the_nth_to_be_over(ahead: int, holders: list[float | None], seconds: float | None) -> None:
    found = estimate(ahead, [None if left is None else Left(left, "") for left in holders])
    assert (found.seconds if found else None) == seconds


def test_what_is_announced_comes_first() -> None:
    assert left_of("nb", 5.0, 80.0, 60.0) == Left(5.0, "the countdown of session nb")
    assert left_of("nb", None, None, 60.0) is None
