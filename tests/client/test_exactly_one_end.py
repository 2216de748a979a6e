"""Whatever dies, a run has one end, and it says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_proxy import stream
from kernel_proxy.errors import RuntimeUnavailable, SessionLost, VersionMismatch, WorkerDied
from kernel_proxy.stream import GONE, Trouble, next_step
from remote_runtime.wire import limits
from remote_runtime.wire import messages_pb2 as pb
from tests.client.roads import DirectLine, joined, texts
from tests.client.standin import Worker

pytestmark = pytest.mark.usefixtures("transport")

UNAVAILABLE = pb.Failure(code="unavailable", message="cannot be reached")
HERE = pb.ExitReply()


def trouble(failure: pb.Failure = UNAVAILABLE, exit: pb.ExitReply | None = HERE, **known: float) -> Trouble:
    facts = {"attempts": 1, "damaged": 0, "silent_s": 0.1, "same_host": True, **known}
    return Trouble(failure=failure, exit=exit, **facts)  # type: ignore[arg-type]


def ends(events: list[pb.Event]) -> list[pb.End]:
    return [event.end for event in events if event.HasField("end")]


@pytest.mark.parametrize("reason", sorted(GONE))
def test_a_dead_worker_ends_its_runs_with_the_gateways_reason(reason: str, short: Path) -> None:
    line = DirectLine(short / "w.sock", pb.ExitReply(gone=True, reason=reason, detail="signal 9"))
    worker = Worker(cuts=[2, 0, 0, 0])
    with joined(worker, short, line) as session:
        run = session.run(pb.Run(source="a\nb"))
        events = list(run)
        assert list(run) == []
    assert texts(events) == ["a"]
    assert [(end.status, end.problem.code) for end in ends(events)] == [("died", GONE[reason][0])]
    assert "signal 9" in ends(events)[0].problem.message


def test_a_lost_session_refuses_what_comes_next(short: Path) -> None:
    line = DirectLine(short / "w.sock", pb.ExitReply(gone=True, reason="killed"))
    with joined(Worker(deaf={0}, cuts=[9, 0, 0]), short, line) as session:
        with pytest.raises(WorkerDied, match="the worker was killed"):
            session.vars()
        with pytest.raises(WorkerDied):
            session.run(pb.Run(source="a"))
        session.drop(["token"])
        assert session.lost is not None


@pytest.mark.parametrize(("incarnation", "words"), [(2, "lost its memory"), (1, "no longer has")])
def test_a_worker_that_forgot_the_run_ends_it(incarnation: int, words: str, short: Path) -> None:
    worker = Worker(cuts=[2], forget=True)
    with joined(worker, short) as session:
        worker.incarnation = incarnation
        events = list(session.run(pb.Run(source="a\nb")))
        assert session.incarnation == incarnation
    assert [end.problem.code for end in ends(events)] == ["session-lost"]
    assert words in ends(events)[0].problem.message


def test_a_run_that_ended_with_the_memory_is_told_by_its_own_log(short: Path) -> None:
    worker = Worker(cuts=[2])
    worker.hold.set()
    with joined(worker, short) as session:
        worker.incarnation = 2
        events = list(session.run(pb.Run(source="a\nb")))
    assert texts(events) == ["a", "b"]
    assert [end.status for end in ends(events)] == ["ok"]


def test_a_worker_that_refuses_is_not_asked_twice(short: Path) -> None:
    refusal = pb.FromWorker(failure=pb.Failure(code="session-lost", message="session s1 is not here"))
    worker = Worker(answers={"hello": refusal})
    with pytest.raises(SessionLost, match="s1 is not here"), joined(worker, short):
        pass
    assert worker.streams == 1


def test_a_worker_with_another_python_is_refused_with_the_table(short: Path) -> None:
    theirs = pb.FromWorker(welcome=pb.Welcome(versions=pb.Versions(protocol=limits.PROTOCOL, python="2.7.18")))
    with (
        pytest.raises(VersionMismatch, match=r"(?s)python differ.*2\.7\.18"),
        joined(Worker(answers={"hello": theirs}), short),
    ):
        pass


def test_a_worker_that_is_not_there_is_unavailable(short: Path) -> None:
    line = DirectLine(short / "nobody.sock", pb.ExitReply(gone=True, reason="unknown", detail="never heard of it"))
    with pytest.raises(SessionLost, match="never heard of it"), joined(Worker(), short, line):
        pass


def test_a_silent_worker_is_given_up(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "WELCOME_S", 0.2)
    worker = Worker(answers={"hello": pb.FromWorker(notice=pb.Notice(text="busy"))})
    with pytest.raises(RuntimeUnavailable, match="did not answer within"), joined(worker, short):
        pass


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (trouble(attempts=0), 0.0),
        (trouble(attempts=1), 0.04),
        (trouble(attempts=50), stream.LONGEST_DELAY_S),
        (trouble(exit=pb.ExitReply(gone=True, reason="lease")), "session-lost"),
        (trouble(pb.Failure(code="unauthorized")), "unauthorized"),
        (trouble(exit=None, silent_s=stream.ALONE_S + 1), "session-lost"),
        (trouble(exit=None, silent_s=stream.ALONE_S + 1, same_host=False), 0.04),
        (trouble(silent_s=limits.KEEP_S + 1), "session-lost"),
        (trouble(pb.Failure(code="protocol"), damaged=stream.DAMAGED_COUNT), "protocol"),
        (trouble(pb.Failure(code="protocol"), damaged=1), 0.04),
    ],
)
def test_what_follows_a_break(known: Trouble, expected: float | str) -> None:
    step = next_step(known)
    assert (step.code if isinstance(step, pb.Failure) else step) == expected
