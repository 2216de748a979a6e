"""The client hears what comes after a run's end once, in order, and again after a broken stream."""

from __future__ import annotations

from pathlib import Path
from queue import SimpleQueue

from remote_runtime.wire import messages_pb2 as pb
from tests.client.roads import joined
from tests.client.standin import Worker


def with_late(worker: Worker, *texts: str) -> None:
    """Let a run's log go on behind its end."""
    log = worker.logs["r1"]
    log += [pb.Event(run_id="r1", seq=len(log) + n, stream=pb.Stream(text=text)) for n, text in enumerate(texts, 1)]


def test_it_is_told_apart_from_the_run_and_dropped_where_it_repeats(short: Path) -> None:
    worker, heard = Worker(answers={"list_runs": pb.FromWorker(runs=pb.RunTable())}), SimpleQueue[pb.Event]()
    worker.hold.set()
    with joined(worker, short) as session:
        session.on_late = heard.put
        events = list(session.run(pb.Run(run_id="r1", source="a")))
        with_late(worker, "x", "y")
        worker.before = [pb.FromWorker(event=event) for event in (worker.logs["r1"][2], worker.logs["r1"][2], worker.logs["r1"][3])]
        for _ in range(3):
            session.runs()
        assert [heard.get(timeout=10).stream.text for _ in "xy"] == ["x", "y"] and heard.empty()
    assert [e.WhichOneof("body") for e in events] == ["stream", "end"]


def test_a_new_stream_asks_for_what_was_missed(short: Path) -> None:
    worker, heard = Worker(cuts=[3]), SimpleQueue[pb.Event]()  # welcome, text, end; then the stream breaks
    worker.hold.set()
    worker.answers["list_runs"] = pb.FromWorker(runs=pb.RunTable())
    with joined(worker, short) as session:
        session.on_late = heard.put
        list(session.run(pb.Run(run_id="r1", source="a")))
        with_late(worker, "missed")
        session.runs()
        assert heard.get(timeout=10).stream.text == "missed"
    assert [m.follow.after_seq for m in worker.received if m.HasField("follow")] == [2]


def test_an_answer_is_sent_again_until_it_has_arrived(short: Path) -> None:
    worker = Worker(deaf={0}, answers={"input": pb.FromWorker(done=pb.Done())})
    with joined(worker, short) as session:
        session.answer(pb.Input(run_id="r1", text="Ada", ask_id=1))
    assert worker.wait_for("input").input.text == "Ada"
