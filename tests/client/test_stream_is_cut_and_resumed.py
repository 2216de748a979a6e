"""A stream that breaks anywhere costs nothing but time: no event is lost, none comes twice, one end."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_proxy.errors import DiskFull, NotFound
from kernel_proxy.parcels import Parcel
from kernel_proxy.runs import RunStream
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import versions
from remote_runtime.wire.bundle import Bundle
from tests.client.roads import joined, texts
from tests.client.standin import Worker

pytestmark = pytest.mark.usefixtures("transport")

LINES = [f"line {n}" for n in range(6)]
SOURCE = "\n".join(LINES)


def ready(**options: object) -> Worker:
    worker = Worker(**options)  # type: ignore[arg-type]
    worker.hold.set()
    return worker


@pytest.mark.parametrize("after", range(1, len(LINES) + 3))
def test_cut_at_every_event_boundary(after: int, short: Path) -> None:
    worker = ready(cuts=[after])
    with joined(worker, short) as session:
        events = list(session.run(pb.Run(source=SOURCE)))
    assert texts(events) == LINES
    assert [e.seq for e in events] == list(range(1, len(LINES) + 2))
    assert [e.WhichOneof("body") for e in events].count("end") == 1


def test_every_stream_is_cut_after_two_frames(short: Path) -> None:
    worker = ready(cuts=[2] * 20)
    with joined(worker, short) as session:
        events = list(session.run(pb.Run(source=SOURCE)))
    assert texts(events) == LINES
    assert worker.streams > 5


def test_a_run_the_worker_never_read_is_sent_again_with_its_values(short: Path) -> None:
    worker = ready(deaf={0})
    bundle = Bundle(b"p" * 10, (memoryview(bytearray(3_000_000)),))
    with joined(worker, short) as session:
        events = list(session.run(pb.Run(source=SOURCE), bundle))
    assert texts(events) == LINES
    assert worker.bundles == [3_000_010]


def test_an_open_request_is_asked_again(short: Path) -> None:
    worker = ready(deaf={0}, answers={"list_vars": pb.FromWorker(vars=pb.VarTable(vars=[pb.Held(name="x")]))})
    with joined(worker, short) as session:
        assert [held.name for held in session.vars()] == ["x"]


def test_following_begins_behind_what_was_seen(short: Path) -> None:
    worker = ready()
    with joined(worker, short) as session:
        run = session.run(pb.Run(source=SOURCE))
        first = list(run)
        again = list(session.follow(run.run_id, after_seq=3))
    assert again == first[3:]


def test_two_streams_of_one_run_both_see_everything(short: Path) -> None:
    worker = Worker()
    with joined(worker, short) as session:
        run = session.run(pb.Run(source=SOURCE))
        first = next(run)
        other = session.follow(run.run_id)
        assert next(other) == first
        worker.hold.set()
        assert texts([first, *run]) == texts([first, *other]) == LINES
    assert [m.HasField("follow") for m in worker.received].count(True) == 1


def test_an_event_that_skips_numbers_is_asked_for(short: Path) -> None:
    worker = ready()
    with joined(worker, short) as session:
        worker.skip = 3
        assert texts(session.run(pb.Run(source=SOURCE))) == LINES


def test_an_unknown_run_cannot_be_followed(short: Path) -> None:
    with joined(ready(), short) as session, pytest.raises(NotFound, match="there is no run r9"):
        list(session.follow("r9"))


def test_a_refused_run_raises_and_has_no_end(short: Path) -> None:
    worker = ready(answers={"run": pb.FromWorker(failure=pb.Failure(code="disk-full", message="no room"))})
    with joined(worker, short) as session, pytest.raises(DiskFull, match="no room"):
        list(session.run(pb.Run(source=SOURCE)))


def test_the_end_is_acknowledged_once_all_is_shown(short: Path) -> None:
    worker = ready()
    with joined(worker, short) as session:
        run = session.run(pb.Run(source=SOURCE))
        list(run)
        assert worker.wait_for("ack").ack == pb.Ack(run_id=run.run_id, seq=len(LINES) + 1)


def test_names_alive_follow_each_end(short: Path) -> None:
    with joined(ready(), short) as session:
        assert session.alive == {"x"}
        list(session.run(pb.Run(source=SOURCE)))
        assert session.alive == {"x", "y"}


def test_what_the_worker_could_not_read_is_sent_again(short: Path) -> None:
    worker = ready(before=[pb.FromWorker(failure=pb.Failure(code="protocol", message="a frame is cut"))])
    with joined(worker, short) as session:
        assert texts(session.run(pb.Run(source=SOURCE))) == LINES
    assert worker.streams == 2


def test_a_worker_that_never_understands_is_given_up(short: Path) -> None:
    damaged = pb.FromWorker(failure=pb.Failure(code="protocol", message="a frame is cut"))
    with joined(ready(before=[damaged] * 9), short) as session:
        events = list(session.run(pb.Run(source=SOURCE)))
    assert [(e.end.status, e.end.problem.code) for e in events] == [("died", "protocol")]


def test_a_new_user_process_is_told_and_nothing_is_asked_twice(short: Path) -> None:
    welcome = pb.FromWorker(welcome=pb.Welcome(versions=versions.here(), incarnation=7))
    worker = ready(before=[welcome])
    with joined(worker, short) as session:
        assert texts(session.run(pb.Run(source=SOURCE))) == LINES
        assert session.incarnation == 7
    assert [m.WhichOneof("body") for m in worker.received if not m.HasField("ack")] == ["hello", "run"]


def test_a_cut_stands_for_what_a_log_no_longer_has(short: Path) -> None:
    worker = ready()
    with joined(worker, short) as session:
        run_id = "r1"
        cut = pb.Event(run_id=run_id, seq=40, cut=pb.Cut(dropped_bytes=9))
        worker.logs[run_id] = [cut, pb.Event(run_id=run_id, seq=41, at=1.0, end=pb.End(status="ok"))]
        assert [event.seq for event in session.follow(run_id)] == [40, 41]


def test_an_ended_run_takes_no_second_end() -> None:
    run = RunStream("r", Parcel(pb.ToWorker()), lambda message: None)
    run.feed(pb.Event(seq=1, end=pb.End(status="ok")), None)
    run.finish(pb.End(status="died"), at=2.0)
    run.refuse(NotFound("late"))
    assert [event.end.status for event in run] == ["ok"]
