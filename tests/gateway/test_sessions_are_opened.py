"""Opening, waiting, releasing and adopting, over workers in memory and a clock that the test moves."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from remote_runtime.engines.base import Exit
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import versions
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.specs import Environment
from tests.engines.memory import MemoryEngine, settle
from tests.gateway.conftest import Play
from tests.gateway.rig import A100, SECOND, Client, Rig, rig


def test_a_session_gets_a_warm_worker_at_once(play: Play) -> None:
    async def body(rig: Rig) -> None:
        client = await rig.open("A100", "nb", notebook="a.ipynb")
        assert [u.WhichOneof("body") for u in client.updates] == ["granted"]
        granted, claim = client.granted, rig.keeper(client).claim
        assert (granted.fresh, granted.incarnation, granted.devices[0].holder) == (True, 1, "nb")
        assert granted.unix == f"/{rig.engine.launched[0]}"
        assert (claim.session, claim.token, claim.notebook) == ("nb", granted.token, "a.ipynb")
        assert Path(claim.directory).is_dir()
        assert claim.memory_limit_bytes > 0

    play(body)


def test_the_same_name_is_the_same_session(play: Play) -> None:
    async def body(rig: Rig) -> None:
        first, second = await rig.open("A100", "nb"), await rig.open("any", "nb")
        assert second.granted.session_id == first.granted.session_id
        assert (second.granted.token, second.granted.fresh) == (first.granted.token, False)

    play(body)


def test_two_who_open_one_name_at_once_share_it(play: Play) -> None:
    async def body(rig: Rig) -> None:
        requests = [pb.OpenRequest(versions=versions.here(), target="A100", session="nb") for _ in range(2)]
        clients = [Client(rig, request) for request in requests]
        await asyncio.gather(*(client.task for client in clients))
        assert len({client.granted.session_id for client in clients}) == 1
        assert sorted(client.granted.fresh for client in clients) == [False, True]

    play(body)


def test_a_name_on_another_target_is_an_error_that_names_both(play: Play) -> None:
    async def body(rig: Rig) -> None:
        await rig.open("A100", "nb")
        failure = (await rig.open("cpu", "nb")).failure
        assert failure.code == "bad-target"
        assert str(failure) == (
            "session nb runs on A100 and was asked for on cpu\n"
            "hint: choose another --session, or release this one with `warmcell stop nb`"
        )

    play(body)


@pytest.mark.parametrize(
    ("target", "more", "code", "part"),
    [
        ("A100:0", {}, "bad-target", "`A100:0`"),
        ("H100", {}, "target-unavailable", "it has 1 x A100-40GB (price -), cpu (price -)"),
        ("A100", {"must_exist": True}, "not-found", "no session named nb"),
    ],
)
def test_what_cannot_be_opened(play: Play, target: str, more: dict, code: str, part: str) -> None:
    async def body(rig: Rig) -> None:
        failure = (await rig.open(target, "nb", **more)).failure
        assert (failure.code, part in failure.message) == (code, True)
        assert failure.hint

    play(body)


def test_versions_that_cannot_talk_are_shown_as_a_table(play: Play) -> None:
    async def body(rig: Rig) -> None:
        old = pb.Versions(protocol=1, python="3.8.1")
        client = Client(rig, pb.OpenRequest(versions=old, target="cpu", session="nb"))
        await client.task
        assert client.failure.code == "version-mismatch"
        assert "python   3.8.1" in client.failure.message

    play(body)


def test_who_waits_is_told_the_place_and_the_holder(play: Play) -> None:
    async def body(rig: Rig) -> None:
        holder = await rig.open("A100", "first")
        rig.run(holder)
        await rig.look()
        second, third = await rig.open("A100", "second"), await rig.open("A100", "third")
        assert (second.waiting.place, third.waiting.place) == (1, 2)
        assert second.waiting.reason == "A100-40GB is held by session first"
        assert not second.waiting.HasField("release_in_s")
        await rig.gateway.release(pb.ReleaseRequest(session="first", force=True))
        await rig.settle()
        assert second.granted
        assert third.waiting.reason == "A100-40GB is held by session second"

    play(body)


def test_who_does_not_wait_is_refused(play: Play) -> None:
    async def body(rig: Rig) -> None:
        await rig.open("A100", "first")
        failure = (await rig.open("A100", "second", no_wait=True)).failure
        assert failure.code == "target-busy"
        assert failure.message == "A100-40GB is held by session first; free now: cpu (price -)"
        assert (await rig.open("cpu", "third", no_wait=True)).granted

    play(body)


def test_a_cancelled_open_leaves_the_queue(play: Play) -> None:
    async def body(rig: Rig) -> None:
        await rig.open("A100", "first")
        second, third = await rig.open("A100", "second"), await rig.open("A100", "third")
        second.task.cancel()
        await rig.settle()
        assert third.waiting.place == 1

    play(body)


def test_one_who_gives_up_while_a_worker_starts_holds_nothing(play: Play) -> None:
    async def body(rig: Rig) -> None:
        rig.engine.prompt = False
        client = await rig.open("A100", "nb")
        assert client.waiting.reason == "starting a worker"
        client.task.cancel()
        await rig.settle()
        rig.engine.ready(rig.engine.launched[-1])
        await rig.settle()
        assert (await rig.open("A100", "other", no_wait=True)).granted

    play(body, min_warm=0)


def test_a_device_that_another_runtime_locked_is_waited_for(play: Play) -> None:
    async def body(rig: Rig) -> None:
        rig.keepers.locked["GPU-1"] = "device GPU-1 is held by nb of bob"
        client = await rig.open("A100", "nb")
        assert client.waiting.reason == "A100-40GB is held by another runtime of this machine (nb of bob)"
        rig.keepers.locked.clear()
        await rig.look(3)
        assert client.granted
        assert len(rig.engine.killed) == 0

    play(body)


def test_a_worker_that_does_not_answer_the_claim_is_replaced(play: Play) -> None:
    async def body(rig: Rig) -> None:
        from tests.gateway.rig import Keeper

        rig.keepers.by_address[f"unix:/{rig.engine.launched[0]}"] = Keeper(silent=True)
        client = await rig.open("A100", "nb")
        assert client.granted
        assert rig.engine.killed == [rig.engine.launched[0]]

    play(body)


def test_the_end_of_a_worker_frees_its_device_and_is_told(play: Play) -> None:
    async def body(rig: Rig) -> None:
        first = await rig.open("A100", "first")
        second = await rig.open("A100", "second")
        rig.engine.end(first.granted.unix[1:], Exit("killed", None, 9))
        await rig.settle()
        assert second.granted
        reply = await rig.gateway.exit(pb.ExitRequest(session_id=first.granted.session_id))
        assert (reply.gone, reply.reason, reply.detail) == (True, "killed", "its worker ended: killed by SIGKILL")

    play(body)


def test_release_says_what_is_lost_and_stops_for_runs(play: Play) -> None:
    async def body(rig: Rig) -> None:
        client = await rig.open("A100", "nb")
        rig.keeper(client).info.names.append("x")
        rig.run(client)
        with pytest.raises(Failed, match=r"1 run is active: 'train\(\)' in session nb"):
            await rig.gateway.release(pb.ReleaseRequest(session="nb"))
        reply = await rig.gateway.release(pb.ReleaseRequest(session="nb", force=True))
        assert (list(reply.lost_names), reply.stopped_runs[0].label) == (["x"], "train()")
        with pytest.raises(Failed, match="no session nb"):
            await rig.gateway.release(pb.ReleaseRequest(session="nb"))

    play(body)


def test_stop_names_the_runs_unless_it_is_forced(play: Play) -> None:
    async def body(rig: Rig) -> None:
        rig.run(await rig.open("A100", "one"))
        rig.run(await rig.open("A100", "two"))
        with pytest.raises(Failed, match="2 runs are active: .* in session one, .* in session two"):
            await rig.gateway.stop(pb.StopRequest())
        assert not rig.gateway.finished.is_set()
        reply = await rig.gateway.stop(pb.StopRequest(force=True))
        assert sorted(info.name for info in reply.stopped) == ["one", "two"]
        assert rig.gateway.finished.is_set()

    play(body, devices=(A100, SECOND))


def test_stop_refuses_those_who_wait(play: Play) -> None:
    async def body(rig: Rig) -> None:
        await rig.open("A100", "one")
        waiter = await rig.open("A100", "two")
        await rig.gateway.stop(pb.StopRequest())
        await rig.settle()
        assert waiter.failure.message == "the runtime was stopped"
        assert (await rig.open("cpu", "three")).failure.code == "unavailable"

    play(body)


def test_describe_marks_what_is_held_and_by_whom(play: Play) -> None:
    async def body(rig: Rig) -> None:
        await rig.open("A100", "nb")
        rows = [(d.id, d.state, d.holder) for d in (await rig.gateway.describe(pb.DescribeRequest())).devices]
        assert rows == [("GPU-1", "held", "nb"), ("GPU-2", "free", ""), ("cpu", "free", "")]

    play(body, devices=(A100, SECOND))


def test_the_gateway_ends_when_nothing_was_held_for_long_enough(play: Play) -> None:
    async def body(rig: Rig) -> None:
        client = await rig.open("A100", "nb")
        await rig.look(10_000)
        assert not rig.gateway.finished.is_set()
        await rig.gateway.release(pb.ReleaseRequest(session="nb"))
        with rig.gateway.call():
            await rig.look(10_000)
        await rig.look(800)
        assert not rig.gateway.finished.is_set()
        await rig.look(200)
        assert rig.gateway.finished.is_set()
        assert client.granted

    play(body, idle_exit_s=900.0)


def test_a_full_disk_is_an_error_and_costs_no_worker(play: Play) -> None:
    async def body(rig: Rig) -> None:
        ((pages,),) = await rig.rows("PRAGMA page_count")
        await rig.rows(f"PRAGMA max_page_count = {pages}")  # SQLite's own way of having no room
        filler = ("INSERT INTO workers VALUES (?, ?)", ("filler", "x" * 100_000))
        with pytest.raises(Failed, match=r"could not write .*store\.db: the disk is full"):
            await rig.store.write(filler)
        failure = (await rig.open("A100", "n" * 100_000)).failure
        assert failure.code == "disk-full"
        assert not rig.engine.killed
        await rig.rows("PRAGMA max_page_count = 1000000")
        assert (await rig.open("A100", "nb")).granted

    play(body)


def test_the_next_gateway_adopts_what_it_finds(tmp_path: Path) -> None:
    async def body() -> None:
        async with rig(tmp_path, A100, SECOND) as first:
            client, lost = await first.open("A100", "nb"), await first.open("A100", "lost")
            await lost.task
            first.gateway.close = settle  # type: ignore[method-assign]
        del first.engine.workers[lost.granted.unix[1:]]
        async with rig(tmp_path, before=first) as second:
            again, other = await second.open("A100", "nb"), await second.open("A100", "new")
            assert (again.granted.session_id, again.granted.token) == (client.granted.session_id, client.granted.token)
            assert {again.granted.devices[0].id, other.granted.devices[0].id} == {"GPU-1", "GPU-2"}
            reply = await second.gateway.exit(pb.ExitRequest(session_id=lost.granted.session_id))
            assert (reply.gone, reply.reason) == (True, "unknown")

    asyncio.run(body())



def test_an_environment_that_the_engine_cannot_make_is_refused_before_anybody_waits(play: Play) -> None:
    async def body(rig: Rig) -> None:
        blocked = pb.WorkerEnvironment(block_network=True)
        failure = (await rig.open("A100", "nb", environment=blocked)).failure
        assert failure.code == "unsupported"
        assert str(failure).startswith("the memory engine cannot give a worker no network at all\nhint: leave")

    play(body)


def test_a_session_has_the_environment_and_the_variables_it_was_opened_with(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def admit(self: MemoryEngine, environment: Environment) -> Environment:
        return environment

    monkeypatch.setattr(MemoryEngine, "admit", admit)
    made_with = Environment(block_network=True).wire

    async def body(rig: Rig) -> None:
        client = await rig.open("cpu", "nb", environment=made_with, env={"A": "1"})
        await client.task  # a thread looks at the paths
        assert rig.keeper(client).claim.env["A"] == "1"
        told = await rig.gateway.describe(pb.DescribeRequest(versions=versions.here()))
        assert [session.environment for session in told.sessions] == [made_with]
        again = await rig.open("cpu", "nb", environment=made_with)
        await again.task
        assert again.granted.fresh is False
        assert "another environment" in (await rig.open("cpu", "nb")).failure.message
        assert (await rig.open("", "nb", must_exist=True)).granted.fresh is False

    play(body)
