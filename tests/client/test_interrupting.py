"""An interrupt reaches the worker at every stage of a run, and leaves the session usable."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from kernel_proxy import bell
from kernel_proxy.errors import RunTimeout, SessionLost
from kernel_proxy.parcels import Outgoing, Parcel, Stage
from kernel_proxy.session import Session
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.bundle import Bundle
from remote_runtime.wire.frames import control, is_data
from tests.client.roads import joined, texts
from tests.client.standin import Worker
from tests.worker.keeper.link import until

LARGE = Bundle(b"p", (memoryview(bytearray(5_000_000)),))


def interrupt_when_waiting(session: Session, run_id: str) -> Any:
    """A SIGINT handler as a notebook's would be."""

    def handler(*_: object) -> None:
        session.interrupt(run_id)

    return signal.signal(signal.SIGINT, handler)


def soon_sigint() -> None:
    """Press Ctrl-C as soon as the main thread waits for the session; a press before or after is another test's."""
    main = threading.main_thread().ident or 0

    def waits() -> bool:
        frame = sys._current_frames().get(main)
        while frame is not None and frame.f_code.co_filename != bell.__file__:
            frame = frame.f_back
        return frame is not None

    def press() -> None:
        until(waits, "the main thread to wait")
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()


@pytest.mark.usefixtures("transport")
def test_a_running_run_is_interrupted_and_ends(short: Path) -> None:
    worker = Worker()
    with joined(worker, short) as session:
        run = session.run(pb.Run(source="a"))
        assert next(run).stream.text == "a"
        session.interrupt(run.run_id, kill=True, why="timeout")
        assert next(run).HasField("end")
    assert worker.wait_for("interrupt").interrupt == pb.Interrupt(run_id=run.run_id, kill=True, why="timeout")


@pytest.mark.usefixtures("transport")
def test_a_signal_handler_may_interrupt_while_the_run_is_read(short: Path) -> None:
    worker = Worker()
    with joined(worker, short) as session:
        run = session.run(pb.Run(source="a"))
        before = interrupt_when_waiting(session, run.run_id)
        try:
            soon_sigint()
            assert texts(run) == ["a"]
        finally:
            signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("transport")
def test_a_keyboard_interrupt_loses_no_event(short: Path) -> None:
    worker = Worker()
    with joined(worker, short) as session:
        run = session.run(pb.Run(source="a\nb"))
        assert texts([next(run), next(run)]) == ["a", "b"]
        soon_sigint()
        with pytest.raises(KeyboardInterrupt):
            next(run)
        session.interrupt(run.run_id)
        assert [event.seq for event in run] == [3]


@pytest.mark.usefixtures("transport")
def test_a_keyboard_interrupt_leaves_a_request_behind(short: Path) -> None:
    worker = Worker()
    with joined(worker, short) as session:
        soon_sigint()
        with pytest.raises(KeyboardInterrupt):
            session.vars()
        worker.answers["list_vars"] = pb.FromWorker(vars=pb.VarTable(vars=[pb.Held(name="x")]))
        assert [held.name for held in session.vars()] == ["x"]


@pytest.mark.usefixtures("transport")
def test_a_request_may_have_a_limit(short: Path) -> None:
    with joined(Worker(), short) as session, pytest.raises(RunTimeout, match="did not answer `fetch` within 0.01 s"):
        session.fetch("x", timeout_s=0.01)


@pytest.mark.usefixtures("transport")
def test_an_interrupt_on_a_broken_stream_is_sent_on_the_next(short: Path) -> None:
    worker = Worker(cuts=[2])
    with joined(worker, short) as session:
        run = session.run(pb.Run(source="a\nb"))
        next(run)
        session.interrupt(run.run_id)
        assert [event.seq for event in run] == [2, 3]
    assert worker.wait_for("interrupt").interrupt.run_id == run.run_id


def test_an_interrupted_upload_is_cut_and_the_run_never_was(short: Path) -> None:
    worker = Worker()
    worker.hold.set()
    with joined(worker, short) as session:
        session._attachment._outgoing.put(stuck := Stuck())  # type: ignore[union-attr, arg-type]
        run = session.run(pb.Run(source="a"), LARGE)
        session.interrupt(run.run_id)
        assert [e.end.status for e in run] == ["interrupted"]
        stuck.go.set()
        assert texts(session.run(pb.Run(source="b"))) == ["b"]
    assert [m.run.source for m in worker.received if m.HasField("run")] == ["b"]


class Stuck(Parcel):
    """A parcel that holds up those behind it."""

    def __init__(self) -> None:
        super().__init__(pb.ToWorker(ack=pb.Ack()))
        self.go = threading.Event()

    def frames(self, bundle_id: int, sharing: object = None) -> Any:
        self.go.wait(10)
        return iter(())


def test_an_upload_abandoned_half_way_cuts_the_stream() -> None:
    cut = threading.Event()
    outgoing = Outgoing(cut.set)
    parcel = Parcel(pb.ToWorker(run=pb.Run()), LARGE)
    outgoing.put(parcel)
    frames = iter(outgoing)
    assert [is_data(next(frames)), is_data(next(frames))] == [False, True]
    assert parcel.abandon()
    assert list(frames) == [] and cut.is_set()


def test_an_interrupt_passes_between_the_pieces_of_an_upload() -> None:
    outgoing, hurried = Outgoing(lambda: None), control(pb.ToWorker(interrupt=pb.Interrupt(run_id="r")))
    outgoing.put(Parcel(pb.ToWorker(run=pb.Run()), LARGE))
    frames = iter(outgoing)
    next(frames), next(frames)
    outgoing.hurry(hurried)
    assert next(frames) == hurried
    outgoing.close()
    assert all(map(is_data, frames))


@pytest.mark.parametrize(
    ("stage", "abandoned"),
    [(Stage.WAITING, True), (Stage.SENDING, True), (Stage.SENT, False), (Stage.ABANDONED, True)],
)
def test_what_was_sent_whole_cannot_be_abandoned(stage: Stage, abandoned: bool) -> None:
    parcel = Parcel(pb.ToWorker())
    parcel.stage = stage
    assert parcel.abandon() is abandoned


@pytest.mark.parametrize("bundle", [None, Bundle(b"p"), LARGE], ids=["none", "inline", "large"])
def test_whoever_drew_the_last_frame_has_it_whole(bundle: Bundle | None) -> None:
    parcel = Parcel(pb.ToWorker(run=pb.Run()), bundle)
    count = len(list(Parcel(parcel.message, bundle).frames(1)))
    frames = parcel.frames(1)
    drawn = [next(frames) for _ in range(count)]
    assert parcel.stage is Stage.SENT and not parcel.abandon()
    assert len(drawn) == count and list(frames) == []


def test_what_an_earlier_stream_carried_whole_cannot_be_abandoned() -> None:
    parcel = Parcel(pb.ToWorker(run=pb.Run()), LARGE)
    list(parcel.frames(1))
    parcel.rewind()
    assert parcel.stage is Stage.WAITING and not parcel.abandon()


@pytest.mark.usefixtures("transport")
def test_a_lost_session_has_nothing_to_interrupt(short: Path) -> None:
    with joined(Worker(), short) as session:
        run = session.run(pb.Run(source="a"))
        session.close()
        session.interrupt(run.run_id)


def test_an_abandoned_parcel_is_not_sent_again() -> None:
    parcel = Parcel(pb.ToWorker(run=pb.Run()), LARGE)
    parcel.abandon()
    parcel.rewind()
    assert list(parcel.frames(1)) == []


@pytest.mark.usefixtures("transport")
def test_closing_lets_go_of_what_is_read_elsewhere(short: Path) -> None:
    raised: list[BaseException] = []
    with joined(Worker(), short) as session:
        run = session.run(pb.Run(source="a"))

        def read() -> None:
            try:
                list(run)
            except SessionLost as error:
                raised.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        session.close()
        reader.join(10)
        assert "was closed in this process" in str(raised[0])
        with pytest.raises(SessionLost, match="open it again by its name"):
            session.run(pb.Run(source="b"))
