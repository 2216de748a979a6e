"""A lane is read by whoever waits: each gets what is theirs, interrupts pass uploads, and no press loses an event."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kernel_proxy.bell import Bell
from kernel_proxy.channel import BrokenStream
from kernel_proxy.errors import RuntimeUnavailable
from kernel_proxy.lane import Lane, dial
from kernel_proxy.parcels import Outgoing, Parcel
from kernel_proxy.runs import RunStream
from remote_runtime.wire import frames, limits
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.bundle import Bundle
from tests.client import roads
from tests.client.roads import joined, texts
from tests.client.standin import Worker
from tests.sockets import received

LINES = [f"line {n}" for n in range(20)]
HURRIED = frames.control(pb.ToWorker(interrupt=pb.Interrupt(run_id="r")))


@pytest.fixture(autouse=True)
def over_a_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roads, "TRANSPORT", "lane")


@contextmanager
def served() -> Iterator[tuple[Lane, Outgoing, socket.socket, list[bytes]]]:
    """A lane with its own thread, the other side's socket, and what has arrived."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    outgoing, arrived = Outgoing(lambda: None), []
    lane = Lane(ours, outgoing, "the test")
    own = threading.Thread(target=lambda: pytest.raises(BrokenStream, lane.serve, arrived.append))
    own.start()
    with theirs:
        yield lane, outgoing, theirs, arrived
        lane.cancel()
        own.join(10)
    assert not own.is_alive()


def test_a_press_at_any_moment_loses_and_doubles_nothing(short: Path) -> None:
    worker, chance, main = Worker(), random.Random(1), threading.get_ident()
    worker.hold.set()
    over, pressed, presses = threading.Event(), threading.Event(), []

    def press() -> None:
        while not over.wait(chance.random() * 0.002):
            if pressed.is_set():
                signal.pthread_kill(main, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    presser = threading.Thread(target=press)
    try:
        with joined(worker, short) as session:
            presser.start()
            for _ in range(150):
                run = session.run(pb.Run(source="\n".join(LINES)))
                assert [event.seq for event in read_under_presses(run, pressed, presses)] == list(range(1, len(LINES) + 2))
    finally:
        over.set()
        presser.join(10)
        signal.signal(signal.SIGINT, before)
    assert presses


def read_under_presses(run: RunStream, pressed: threading.Event, presses: list[int]) -> list[pb.Event]:
    """Read a run to its end; an event that a press kept from us counts as shown, as the run says itself."""
    shown: dict[int, pb.Event] = {}
    while run.end is None or run.end is not (shown and shown[max(shown)].end):
        try:
            pressed.set()
            event = next(run, None)
            pressed.clear()
            if event is None:
                break
            assert event.seq not in shown
            shown[event.seq] = event
        except KeyboardInterrupt:
            pressed.clear()
            presses.append(len(shown))
            if run._shown is not None:
                shown.setdefault(run._shown[0].seq, run._shown[0])
    return [shown[seq] for seq in sorted(shown)]


def test_a_request_is_answered_while_another_thread_waits_for_a_run(short: Path) -> None:
    worker = Worker(answers={"list_vars": pb.FromWorker(vars=pb.VarTable(vars=[pb.Held(name="x")]))})
    with joined(worker, short) as session:
        run = session.run(pb.Run(source="a"))
        seen: list[pb.Event] = []
        reader = threading.Thread(target=lambda: seen.extend(run))
        reader.start()
        for _ in range(20):
            assert [held.name for held in session.vars()] == ["x"]
        worker.hold.set()
        reader.join(10)
    assert texts(seen) == ["a"] and seen[-1].HasField("end")


def test_who_followed_a_leader_is_woken_when_that_one_has_gone(short: Path) -> None:
    worker = Worker()
    with joined(worker, short) as session:
        held = session.run(pb.Run(source="a"))
        assert texts([next(held)]) == ["a"]
        seen: list[pb.Event] = []
        follower = threading.Thread(target=lambda: seen.extend(held))
        leading = session.run(pb.Run(source="b"))
        assert texts([next(leading)]) == ["b"]  # this thread has led, and does not come back
        follower.start()
        worker.hold.set()
        follower.join(10)
    assert [event.HasField("end") for event in seen] == [True]


def test_what_comes_while_nobody_waits_is_taken(short: Path) -> None:
    told = threading.Event()
    worker = Worker(before=[pb.FromWorker(notice=pb.Notice(text="soon"))], answers={"drop": None})
    with joined(worker, short) as session:
        session.on_notice = lambda notice: told.set()
        session.drop(["token"])
        assert told.wait(10)


def test_a_bell_rung_by_another_thread_ends_the_lead() -> None:
    with served() as (lane, _, theirs, arrived):
        bell, done = Bell(), threading.Event()
        theirs.sendall(frames.framed(b"first"))
        leading = threading.Thread(target=lambda: bell.wait(done.is_set, lambda: lane))
        leading.start()
        while not lane._polling:
            pass
        done.set()
        bell.ring()
        leading.join(10)
        assert not leading.is_alive()
    assert arrived == [b"first"]


def test_an_interrupt_passes_between_the_pieces_of_an_upload_that_is_stuck() -> None:
    large = Bundle(b"p", (memoryview(bytearray(8 * limits.MIB)),))
    with served() as (lane, outgoing, theirs, _):
        outgoing.put(Parcel(pb.ToWorker(run=pb.Run(run_id="r")), large))
        lane.flush()  # as much as the socket takes
        outgoing.hurry(HURRIED)
        lane.flush()
        got = []
        for frame in received(theirs):
            got.append(frame)
            if sum(map(len, got)) > large.size_bytes + len(HURRIED):
                break
    assert got.index(HURRIED) < 4
    assert [frames.is_data(frame) for frame in got].count(True) == 9


def test_a_press_in_the_midst_of_sending_ends_the_stream() -> None:
    class Pressed(Parcel):
        def frames(self, bundle_id: int, sharing: object = None, stock: object = None) -> Iterator[bytes]:
            raise KeyboardInterrupt

    with served() as (lane, outgoing, theirs, _):
        outgoing.put(Pressed(pb.ToWorker()))
        with pytest.raises(KeyboardInterrupt):
            lane.flush()
        assert list(received(theirs)) == []  # to its end


def test_descriptors_travel_beside_a_message() -> None:
    fd = os.memfd_create("test")
    os.write(fd, b"shared")
    with served() as (lane, outgoing, theirs, _):
        outgoing.herald(pb.ToWorker(segment=pb.Segment(segment=1)), fd)
        outgoing.put(Parcel(pb.ToWorker(ack=pb.Ack())))
        lane.flush()
        (theirs_fd,) = next(received(theirs)).take()  # type: ignore[attr-defined]
    assert os.pread(theirs_fd, 9, 0) == b"shared"
    os.close(theirs_fd)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_neither_reads_nor_holds_the_lane() -> None:
    with served() as (lane, _, theirs, arrived):
        child = os.fork()
        if not child:
            try:
                lane.lead(lambda: False, None)
            except RuntimeUnavailable as error:
                os._exit(0 if "forked" in str(error) and lane._sock.fileno() < 0 else 2)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        theirs.sendall(frames.framed(b"still here"))
        assert Bell().wait(lambda: arrived == [b"still here"], lambda: lane, 10)


def test_a_lane_to_nobody_is_broken(short: Path) -> None:
    with pytest.raises(BrokenStream) as caught:
        dial(str(short / "nobody"), Outgoing(lambda: None))
    assert caught.value.failure.code == "unavailable"
