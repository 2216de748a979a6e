"""The log of a run: numbers without gaps, one end, bounds that hold, cuts that are counted, replays that agree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote_runtime.wire import frames
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.worker.runlog import ENTRY_BYTES, Bounds, Entry, Forgotten, RunLog, surplus


def text(words: str, stderr: bool = False) -> pb.Event:
    return pb.Event(run_id="r", stream=pb.Stream(text=words, stderr=stderr))


def end(status: str = "ok") -> pb.Event:
    return pb.Event(run_id="r", end=pb.End(status=status))


def event_of(entry: Entry) -> pb.Event:
    return frames.parse(pb.FromWorker, entry.frames[0]).event


def replayed(log: RunLog, after: int = 0) -> list[pb.Event]:
    found = []
    while (entry := log.after(after)) is not None:
        found.append(event_of(entry))
        after = entry.seq
    return found


def filled(*events: pb.Event, **bounds: int) -> RunLog:
    log = RunLog("r", Bounds(**bounds))
    for event in events:
        log.append(event, 1.5)
    return log


def test_events_are_numbered_and_stamped() -> None:
    found = replayed(filled(text("a"), text("b"), end()))
    assert [(e.seq, e.at) for e in found] == [(1, 1.5), (2, 1.5), (3, 1.5)]


def test_a_second_end_is_refused() -> None:
    log = filled(end("ok"))
    assert log.append(end("died"), 2.0) is False
    assert [e.end.status for e in replayed(log)] == ["ok"] and log.last_seq == 1


def test_what_is_late_is_numbered_on_behind_the_end() -> None:
    log = filled(text("a"), end(), text("late"))
    assert [e.WhichOneof("body") for e in replayed(log)] == ["stream", "end", "stream"]
    assert event_of(log.after(2)).stream.text == "late" and log.after(3) is None


def test_a_run_is_acknowledged_whatever_comes_late() -> None:
    log = filled(text("a"), end())
    log.ack(2)
    log.append(text("late"), 2.0)
    assert log.acknowledged


def test_late_events_are_trimmed_and_the_end_never_is() -> None:
    log = filled(text("a"), end(), text("b"), text("c"))
    log.ack(3)
    log.trim()
    assert [event_of(log.after(seq)).WhichOneof("body") for seq in range(4)] == ["stream", "end", "cut", "stream"]


def test_late_text_over_the_limit_is_counted_each_time_it_has_doubled() -> None:
    log = filled(end(), output_bytes=4)
    found = [log.append(text("1234"), 1.0) for _ in range(8)]
    cuts = [e.cut.dropped_bytes for e in replayed(log) if e.HasField("cut")]
    assert found == [True, True, False, True, False, False, False, True] and cuts == [4, 12, 28]


def test_a_log_that_was_shed_still_takes_what_comes_late() -> None:
    log = filled(text("a"), end(), text("b"))
    log.shed()
    assert log.size_bytes == 0
    log.append(text("c"), 2.0)
    assert event_of(log.after(3)).stream.text == "c"


def test_an_ends_data_frames_travel_with_it() -> None:
    log = RunLog("r")
    log.append(end(), 1.0, [b"data1", b"data2"])
    assert log.after(0).frames[1:] == (b"data1", b"data2")


@given(st.lists(st.text(max_size=9), max_size=30), st.integers(0, 60))
def test_text_is_shown_up_to_the_limit_and_the_rest_is_counted(words: list[str], limit: int) -> None:
    found = replayed(filled(*map(text, words), end(), output_bytes=limit))
    shown = "".join(e.stream.text for e in found)
    cuts = [e.cut for e in found if e.HasField("cut")]
    whole = "".join(words)
    assert whole.startswith(shown) and len(shown.encode()) <= limit
    assert bool(cuts) == (shown != whole) and len(cuts) <= 1
    if cuts:
        assert found[-2].HasField("cut")
        assert cuts[0].shown_bytes == len(shown.encode())
        assert cuts[0].shown_bytes + cuts[0].dropped_bytes == len(whole.encode())
        assert shown.count("\n") + cuts[0].dropped_lines == whole.count("\n")


@pytest.mark.parametrize(
    ("streams", "told"), [([True], True), ([False], False), ([True, False], False), ([False, True], False)]
)
def test_a_cut_names_stderr_where_only_that_was_cut(streams: list[bool], told: bool) -> None:
    events = [text("xx", stderr) for stderr in streams]
    assert replayed(filled(*events, end(), output_bytes=0))[0].cut.stderr is told


@given(st.integers(0, 3000), st.integers(1, 400))
def test_memory_is_bounded_whatever_comes(keep: int, size: int) -> None:
    display = pb.Event(run_id="r", display=pb.Display(mime=pb.Mime(data_json="x" * size)))
    log = filled(*[display] * 20, text("y" * size), keep_bytes=keep)
    assert log.size_bytes <= keep
    log.append(end(), 2.0)
    *shown, last = replayed(log)
    cuts = [e for e in shown if e.HasField("cut")]
    assert last.HasField("end") and len(cuts) == (len(shown) - len(cuts) < 21)


def test_what_was_shown_makes_room() -> None:
    log = RunLog("r", Bounds(keep_bytes=4 * (ENTRY_BYTES + 40)))
    for count in range(50):
        log.append(pb.Event(run_id="r", display=pb.Display(display_id=str(count))), 1.0)
        log.ack(log.last_seq)
    log.append(end(), 2.0)
    assert log.last_seq == 51 and not any(e.HasField("cut") for e in replayed(log, 48))
    first = replayed(log)[0]
    assert first.HasField("cut") and first.seq == log.after(first.seq).seq - 1 and first.cut.dropped_bytes > 0


@given(st.lists(st.sampled_from(["text", "ack", "trim"]), max_size=40), st.integers(0, 40))
def test_a_replay_has_no_gap_and_no_double(steps: list[str], after: int) -> None:
    log = RunLog("r")
    for step in steps:
        if step == "text":
            log.append(text("x"), 1.0)
        elif step == "ack":
            log.ack(log.last_seq // 2)
        else:
            log.trim()
    seqs = [e.seq for e in replayed(log, after)]
    assert seqs == list(range(seqs[0], log.last_seq + 1)) if seqs else after >= log.last_seq


def test_an_ack_beyond_the_last_event_is_no_promise() -> None:
    log = filled(text("a"))
    log.ack(99)
    log.append(end(), 1.0)
    assert not log.acknowledged
    log.ack(2)
    assert log.acknowledged


def log_of(run_id: str, size: int, acked: bool, ended: bool = True) -> RunLog:
    log = RunLog(run_id)
    log.append(text("x" * size), 1.0)
    if ended:
        log.append(end(), 1.0)
    if acked:
        log.ack(9)
    return log


SURPLUS = {
    "all fits": ([("a", True), ("b", False)], 10_000, ""),
    "acknowledged first": ([("a", False), ("b", True), ("c", False)], 2900, "b"),
    "then the oldest": ([("a", False), ("b", True), ("c", False)], 1500, "ba"),
    "the newest stays unread": ([("a", False), ("b", False)], 0, "a"),
    "but not once it is read": ([("a", False), ("b", True)], 0, "ba"),
}


@pytest.mark.parametrize("case", SURPLUS)
def test_which_logs_are_forgotten(case: str) -> None:
    logs, keep_bytes, chosen = SURPLUS[case]
    made = [log_of(name, 800, acked) for name, acked in logs]
    assert "".join(log.run_id for log in surplus(made, keep_bytes)) == chosen


def test_a_running_log_is_never_forgotten() -> None:
    assert surplus([log_of("a", 800, False, ended=False)], 0) == []


def test_forgotten_ids_are_bounded() -> None:
    gone = Forgotten(most=3)
    for name in "abcde":
        gone.add(name)
    assert [name in gone for name in "abcde"] == [False, False, True, True, True]
