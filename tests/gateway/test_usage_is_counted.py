"""What leases use: rows that are only added, add up to what was used, and are not written twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

from remote_runtime.engines.base import Exit
from remote_runtime.gateway.books import BEAT_S
from remote_runtime.gateway.meter import Meter
from remote_runtime.gateway.store import Store, StoreFailed
from remote_runtime.wire import messages_pb2 as pb
from tests.gateway.conftest import Play
from tests.gateway.rig import A100, SECOND, Client, Rig, rig

USAGE = "SELECT phase, device, user, TOTAL(seconds) FROM usage GROUP BY phase, device, user ORDER BY phase, device"


async def opened(rig: Rig, target: str = "A100", session: str = "nb") -> Client:
    return await rig.open(target, session, user="ana")


def test_the_phases_of_a_lease_add_up(play: Play) -> None:
    async def body(rig: Rig) -> None:
        first = await rig.open("A100", "first", user="bob")
        rig.run(first)
        await rig.look()
        waiter = await opened(rig)
        await rig.look(7)
        await rig.gateway.release(pb.ReleaseRequest(session="first", force=True, caller=pb.Caller(user="bob")))
        await rig.settle()
        rig.now += 2
        rig.run(waiter)
        await rig.look(5)
        rig.rest(waiter)
        rig.now += 3
        await rig.gateway.release(pb.ReleaseRequest(session="nb", caller=pb.Caller(user="ana")))
        await rig.settle()
        assert await rig.rows(USAGE) == [
            ("idle", "GPU-1", "ana", 5.0), ("running", "GPU-1", "ana", 5.0), ("running", "GPU-1", "bob", 7.0),
            ("waiting", "", "ana", 7.0),
        ]  # fmt: skip
        ended = await rig.rows("SELECT name, reason, held_s FROM sessions ORDER BY opened_at")
        assert ended == [("first", "stopped", 7.0), ("nb", "stopped", 10.0)]

    play(body)


def test_a_start_is_counted_on_the_device_that_it_holds(play: Play) -> None:
    async def body(rig: Rig) -> None:
        rig.engine.prompt = False
        client = await opened(rig)
        rig.now += 4
        rig.engine.ready(rig.engine.launched[-1])
        await rig.settle()
        assert client.granted
        assert await rig.rows(USAGE) == [("starting", "GPU-1", "ana", 4.0)]

    play(body, min_warm=0)


def test_each_device_of_a_lease_has_its_rows(play: Play) -> None:
    async def body(rig: Rig) -> None:
        rig.run(await opened(rig, "A100:2"))
        await rig.look(BEAT_S + 1)
        used = [("running", "GPU-1", "ana", BEAT_S + 1), ("running", "GPU-2", "ana", BEAT_S + 1)]
        assert await rig.rows(USAGE) == used

    play(body, devices=(A100, SECOND))


def test_a_beat_writes_what_is_new_and_a_look_between_beats_writes_nothing(play: Play) -> None:
    async def body(rig: Rig) -> None:
        rig.run(await opened(rig))
        await rig.look(1)
        count = len(await rig.rows("SELECT 1 FROM usage"))
        for _ in range(5):
            await rig.look(1)
        assert len(await rig.rows("SELECT 1 FROM usage")) == count
        await rig.look(BEAT_S)
        rows = await rig.rows("SELECT seconds FROM usage WHERE phase = 'running' ORDER BY id")
        assert [seconds for (seconds,) in rows] == [1.0, BEAT_S + 5]

    play(body)


def test_who_gives_up_has_waited_and_nothing_else(play: Play) -> None:
    async def body(rig: Rig) -> None:
        rig.run(await rig.open("A100", "holder", user="bob"))
        await rig.look()
        client = await opened(rig)
        assert await rig.rows("SELECT name, target, user FROM queue") == [("nb", "A100", "ana")]
        rig.now += 9
        client.task.cancel()
        await rig.settle()
        assert await rig.rows("SELECT phase, seconds FROM usage WHERE user = 'ana'") == [("waiting", 9.0)]
        assert await rig.rows("SELECT 1 FROM queue") == []

    play(body)


def test_a_worker_that_dies_is_counted_to_its_end(play: Play) -> None:
    async def body(rig: Rig) -> None:
        client = await opened(rig)
        rig.run(client)
        await rig.look(6)
        rig.now += 4
        rig.engine.end(client.granted.unix[1:], Exit("killed", None, 9))
        await rig.settle()
        assert await rig.rows(USAGE) == [("running", "GPU-1", "ana", 10.0)]
        assert await rig.rows("SELECT state, log FROM runs") == [("died", None)]

    play(body)


def test_a_clock_that_goes_back_counts_nothing_below_zero(play: Play) -> None:
    async def body(rig: Rig) -> None:
        client = await opened(rig)
        await rig.look(BEAT_S + 10)
        rig.now -= 1000
        await rig.look()
        rig.engine.end(client.granted.unix[1:], Exit("killed", None, 9))
        await rig.settle()
        assert await rig.rows(USAGE) == [("idle", "GPU-1", "ana", BEAT_S + 10)]

    play(body)


def test_what_could_not_be_written_is_written_later(play: Play) -> None:
    async def body(rig: Rig) -> None:
        client = await opened(rig)
        rig.run(client)
        await rig.look(6)
        failing = rig.store._write
        rig.store._write = refuse  # type: ignore[method-assign]
        rig.engine.end(client.granted.unix[1:], Exit("killed", None, 9))
        await rig.settle()
        await rig.look(BEAT_S)
        assert await rig.rows("SELECT 1 FROM sessions WHERE released_at IS NULL") == [(1,)]
        rig.store._write = failing  # type: ignore[method-assign]
        await rig.look(BEAT_S)
        assert await rig.rows(USAGE) == [("running", "GPU-1", "ana", 6.0)]
        assert await rig.rows("SELECT 1 FROM sessions WHERE released_at IS NULL") == []

    play(body)


def refuse(*_: object) -> None:
    raise StoreFailed("disk-full", "the disk is full")


def test_the_next_gateway_counts_on(tmp_path: Path) -> None:
    async def body() -> None:
        async with rig(tmp_path, A100) as first:
            client = await opened(first)
            first.run(client)
            await first.look(8)
        async with rig(tmp_path, before=first) as second:
            second.keepers.by_address = first.keepers.by_address
            second.now = first.now + 12  # nobody looked meanwhile, but the keeper counted
            await second.gateway.describe(pb.DescribeRequest())
            await second.look(BEAT_S)
            assert await second.rows(USAGE) == [("running", "GPU-1", "ana", 8 + 12 + BEAT_S)]

    asyncio.run(body())


def test_what_keepers_tell_of_runs_is_the_index_of_events(play: Play) -> None:
    async def body(rig: Rig) -> None:
        client = await opened(rig)
        rig.run(client)
        rig.keeper(client).info.runs[0].event_count = 41
        await rig.look(1)
        log = f"unix:{client.granted.unix}"
        told = await rig.rows("SELECT run_id, session_id, label, state, event_count, log FROM runs")
        assert told == [("r", client.granted.session_id, "train()", "running", 41, log)]
        rig.keeper(client).info.runs[0].state = "ok"
        await rig.look(1)
        del rig.keeper(client).info.runs[:]
        await rig.look(1)
        assert await rig.rows("SELECT state, log FROM runs") == [("ok", None)]

    play(body)


def test_a_meter_takes_the_keepers_word_and_never_falls() -> None:
    meter = Meter("s", "ana", ("d",))
    assert meter.tell(pb.SessionInfo(held_s=10, busy_s=4, runs=[pb.RunInfo(state="running")]), 100.0)
    assert not meter.tell(pb.SessionInfo(held_s=9, busy_s=3, runs=[pb.RunInfo(state="running")]), 101.0)
    assert meter.known(150.0) == {("running", ("d",)): 4, ("idle", ("d",)): 6}
    assert meter.totals(103.0) == {("running", ("d",)): 6, ("idle", ("d",)): 6}
    assert meter.held_s(103.0) == 12
    assert not meter.tell(pb.SessionInfo(), 110.0)


def test_old_records_are_moved_into_the_store_once(tmp_path: Path) -> None:
    async def body() -> None:
        from remote_runtime.engines import records
        from remote_runtime.gateway import legacy, rows

        for name in ("leases", "workers"):
            (tmp_path / name).mkdir()
        old = {
            "session_id": "s-1", "name": "nb", "notebook": "a.ipynb", "target": "cpu", "token": "t", "worker_id": "w-1",
            "incarnation": 1, "devices": [{"id": "cpu", "model": "cpu"}], "idle_s": 0.0, "opened_at": 5.0,
        }  # fmt: skip
        records.write(tmp_path / "leases" / "s-1.json", old)
        records.write(tmp_path / "leases" / "cut.json", {"name": "half"})
        records.write(tmp_path / "workers" / "w-1.json", {"worker_id": "w-1", "pid": 7, "secret": "s"})
        store = Store(tmp_path / "store.db")
        store.open()
        for _ in range(2):
            await legacy.move(tmp_path, store, "ana")
            (record,) = map(rows.session_of, await store.read(rows.LIVING))
            assert (record.name, record.user, record.token, record.devices[0].id) == ("nb", "ana", "t", "cpu")
            assert (await rows.WorkerTable(store).all())["w-1"]["pid"] == 7
        assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == []
        store.close()

    asyncio.run(body())
