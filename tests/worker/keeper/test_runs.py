"""A run's road through a real keeper: events in order, one end, queue, follow, doubles."""

from __future__ import annotations

import pytest

from remote_runtime.wire import messages_pb2 as pb
from tests.worker.keeper.conftest import Start
from tests.worker.keeper.link import Refused, text_of, until

pytestmark = pytest.mark.usefixtures("transport")


def test_hello(start: Start) -> None:
    client = start().claim().client()
    events = list(client.run("channel.text('hello')").events())
    assert [e.WhichOneof("body") for e in events] == ["started", "stream", "end"]
    assert [e.seq for e in events] == [1, 2, 3]
    assert text_of(events) == "hello" and events[-1].end.status == "ok"
    assert events[-1].end.peak_memory_bytes > 0
    assert all(e.at > 0 for e in events)


def test_text_by_descriptor_is_there_before_the_end(start: Start) -> None:
    client = start().claim().client()
    source = "os.write(1, b'out'); os.write(2, b'err'); os.system('echo sub')"
    events = list(client.run(source).events())
    assert text_of([e for e in events if not e.stream.stderr]) == "outsub\n"
    assert text_of([e for e in events if e.stream.stderr]) == "err"


def test_text_by_descriptor_is_not_overtaken_by_the_end(start: Start) -> None:
    keeper = start().claim()
    meanwhile = "channel.text('1'); os.write(1, b'2'); channel.end()"  # seen in one glance: first the whole socket
    source = f"os.kill({keeper.pid}, 19); {meanwhile}; os.kill({keeper.pid}, 18); silent = 1"
    events = list(keeper.client().run(source).events())
    assert [e.WhichOneof("body") for e in events] == ["started", "stream", "stream", "end"]


def test_an_end_of_another_run_ends_nothing(start: Start) -> None:
    client = start().claim().client()
    client.run("pass", "r1").end("r1")
    client.run("channel.run_id = 'r1'; channel.end('error'); channel.run_id = 'r2'; channel.text('on')", "r2")
    events = list(client.events("r2"))
    assert text_of(events) == "on" and events[-1].end.status == "ok"


def test_characters_cut_between_two_writes_are_whole(start: Start) -> None:
    client = start().claim().client()
    source = "import time\nfor b in 'ä€😀'.encode(): os.write(1, bytes([b])); time.sleep(0.002)"
    assert text_of(list(client.run(source).events())) == "ä€😀"


def test_a_second_end_is_dropped_and_what_follows_the_first_is_late(start: Start) -> None:
    client = start().claim().client()
    events = list(client.run("channel.end('ok'); channel.text('late'); channel.end('error')").events())
    assert [e.WhichOneof("body") for e in events] == ["started", "end"]
    assert client.run("channel.text('next')", "r2").end("r2").status == "ok"
    info = client.ask(list_runs=pb.ListRuns()).runs.runs[0]
    assert (info.state, info.event_count) == ("ok", 3)


def test_what_comes_after_the_end_is_kept_for_those_who_ask(start: Start) -> None:
    client = start().claim().client()
    client.run("channel.end('ok'); channel.text('late'); silent = 1").end()
    client.ask(fetch=pb.Fetch(name="x"))
    client.send(follow=pb.Follow(run_id="r1", after_seq=2))
    late = client.get().event
    assert (late.seq, late.stream.text) == (3, "late")


def test_a_run_sent_twice_runs_once(start: Start) -> None:
    keeper = start().claim()
    one, two = keeper.client(), keeper.client()
    source = "channel.text('begin '); signal.pause()"
    one.run(source).until_text("begin")
    two.run(source).until_text("begin")
    one.send(interrupt=pb.Interrupt(run_id="r1"))
    assert one.end().status == two.end().status == "interrupted"
    again = list(two.run(source).events())
    assert text_of(again) == "begin " and again[-1].end.status == "interrupted"


def test_runs_wait_for_each_other(start: Start) -> None:
    client = start().claim().client()
    client.run("channel.text('a'); signal.pause()", "r1").until_text("a")
    client.run("channel.text('b')", "r2")
    states = {r.run_id: r.state for r in client.ask(list_runs=pb.ListRuns()).runs.runs}
    assert states == {"r1": "running", "r2": "queued"}
    client.send(interrupt=pb.Interrupt(run_id="r1"))
    assert client.end("r1").status == "interrupted"
    assert client.end("r2").status == "ok"


def test_a_queued_run_can_be_cancelled(start: Start) -> None:
    client = start().claim().client()
    client.run("channel.text('on'); signal.pause()", "r1").until_text("on")
    client.run("channel.text('never')", "r2")
    client.send(interrupt=pb.Interrupt(run_id="r2", why="cancelled"))
    events = list(client.events("r2"))
    assert [e.WhichOneof("body") for e in events] == ["end"]
    assert events[0].end.status == "cancelled" and "before it began" in events[0].end.problem.message
    client.send(interrupt=pb.Interrupt(run_id="r1"))
    assert client.end("r1").status == "interrupted"


def test_requests_during_a_run_are_busy(start: Start) -> None:
    client = start().claim().client()
    client.run("channel.text('on'); signal.pause()").until_text("on")
    for body in ({"fetch": pb.Fetch(name="x")}, {"list_vars": pb.ListVars()}, {"free": pb.Free()}):
        assert client.ask(**body).failure.code == "busy"
    client.send(interrupt=pb.Interrupt(run_id="r1"))
    client.end()
    assert client.ask(fetch=pb.Fetch(name="x")).values.held[0].name == "x"


def test_a_drop_waits_for_the_run(start: Start) -> None:
    client = start().claim().client()
    client.run("channel.text('on'); signal.pause()").until_text("on")
    client.send(drop=pb.Drop(tokens=["t"]))
    client.send(interrupt=pb.Interrupt(run_id="r1"))
    client.end()
    client.ask(fetch=pb.Fetch(name="x"))
    client.send(follow=pb.Follow(run_id="r1", after_seq=3))
    assert client.get().event.stream.text == "dropped ['t']"


@pytest.mark.parametrize(
    "body",
    [{"follow": pb.Follow(run_id="no")}, {"interrupt": pb.Interrupt(run_id="no")}],
    ids=["follow", "interrupt"],
)
def test_an_unknown_run_is_not_found(start: Start, body: dict[str, object]) -> None:
    client = start().claim().client()
    failure = client.ask(**body).failure
    assert failure.code == "not-found" and "'no'" in failure.message and failure.hint


def test_names_alive_are_told_to_the_next_client(start: Start) -> None:
    keeper = start().claim()
    keeper.client().run("pass").end()
    assert list(keeper.client().welcome.names) == ["x"]
    assert keeper.info().name_count == 1


def test_a_run_with_a_forgotten_log_is_not_run_again(start: Start) -> None:
    client = start().claim().client()
    client.run("pass", keep_s=0.01).end()
    until(lambda: not client.ask(list_runs=pb.ListRuns()).runs.runs, "the log to expire")
    with pytest.raises(Refused, match="no longer kept"):
        client.run("pass").end()
