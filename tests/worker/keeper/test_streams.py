"""Clients come, go, lag and come back: nothing is lost, nothing doubled, nobody waits for another."""

from __future__ import annotations

import random

import pytest

from remote_runtime.wire import messages_pb2 as pb
from tests.worker.keeper.conftest import Start
from tests.worker.keeper.link import Link, text_of, until

pytestmark = pytest.mark.usefixtures("transport")

LINES = 300
COUNT = f"import time\nfor i in range({LINES}):\n    channel.text(f'{{i}} ')\n    time.sleep(0.0005)"


def follow(client: Link, after_seq: int) -> Link:
    client.send(follow=pb.Follow(run_id="r1", after_seq=after_seq))
    return client


@pytest.mark.parametrize("groups", [True, False], ids=["groups", "single"])
@pytest.mark.parametrize("seed", range(3))
def test_a_stream_cut_anywhere_goes_on_where_it_was(start: Start, seed: int, groups: bool) -> None:
    keeper, chance = start().claim(), random.Random(seed)
    client, seen = keeper.client(groups=groups).run(COUNT), []
    while not (seen and seen[-1].HasField("end")):
        wanted = chance.randint(1, 120)
        for event in client.events():
            seen.append(event)
            if (wanted := wanted - 1) == 0:
                client.close()
                client = follow(keeper.client(groups=groups), event.seq)
                break
    assert [e.seq for e in seen] == list(range(1, LINES + 3))
    assert text_of(seen).split() == [str(i) for i in range(LINES)]


def test_two_clients_see_the_same(start: Start) -> None:
    keeper = start().claim()
    one, two = keeper.client().run(COUNT), keeper.client()
    seen = [next(one.events())]
    follow(two, 0)
    seen += one.events()
    assert [e.SerializeToString() for e in two.events()] == [e.SerializeToString() for e in seen]


def test_an_ended_run_is_replayed_from_any_point(start: Start) -> None:
    keeper = start().claim()
    keeper.client().run("for i in range(9): channel.text(str(i))").end()
    for after in (0, 1, 5, 10):
        assert [e.seq for e in follow(keeper.client(), after).events()] == list(range(after + 1, 12))


def test_a_run_goes_on_without_its_client(start: Start) -> None:
    keeper = start().claim()
    client = keeper.client().run(COUNT)
    next(client.events())
    client.close()
    until(lambda: keeper.info().state == "idle", "the run's end")
    assert keeper.info().attached_count == 0
    assert text_of(list(follow(keeper.client(), 0).events())).count(" ") == LINES


def test_a_client_that_reads_nothing_slows_nobody(start: Start) -> None:
    keeper = start().claim()
    stuck, client = keeper.client(), keeper.client()
    client.run("for i in range(64): channel.text('x' * 500_000)").started()
    follow(stuck, 0)
    assert len(text_of(list(client.events()))) == 32_000_000
    assert client.ask(list_runs=pb.ListRuns()).runs.runs[0].state == "ok"
    assert len(text_of(list(stuck.events()))) == 32_000_000


def test_output_over_the_limit_is_cut_and_counted(start: Start) -> None:
    client = start(output_bytes=10_000).claim().client()
    client.run("for i in range(4000): channel.text(f'line {i:4}\\n')")
    events = list(client.events())
    assert [e.WhichOneof("body") for e in events[-2:]] == ["cut", "end"]
    assert sum(e.HasField("cut") for e in events) == 1
    cut, shown = events[-2].cut, text_of(events)
    assert len(shown) == cut.shown_bytes == 10_000
    assert shown.count("\n") + cut.dropped_lines == 4000
    assert cut.shown_bytes + cut.dropped_bytes == 4000 * 10


def test_a_flood_from_a_subprocess_is_cut_and_can_be_interrupted(start: Start) -> None:
    client = start(output_bytes=10_000).claim().client()
    shown = 0
    for event in client.run("os.system('yes')").events():
        if (shown := shown + len(event.stream.text)) == 10_000:
            break
    client.send(interrupt=pb.Interrupt(run_id="r1", kill=True))
    *_, cut, end = client.events()
    assert cut.HasField("cut") and cut.cut.shown_bytes == 10_000
    assert end.end.status == "interrupted"


def test_a_client_that_asks_for_no_groups_gets_none(start: Start) -> None:
    client = start().claim().client(link=Link, groups=False)
    client.frames = client.stream
    assert [e.seq for e in client.run("for i in range(50): channel.text('x')").events()] == list(range(1, 53))


def test_a_notice_reaches_every_client(start: Start) -> None:
    keeper = start().claim()
    clients = [keeper.client(), keeper.client()]
    keeper.call("Notice", pb.NoticeRequest(text="soon", release_in_s=30))
    told = [client.get().notice for client in clients]
    assert [(n.text, n.release_in_s) for n in told] == [("soon", 30.0)] * 2
