"""Keeper and real user process together: the shell's output, deaths with text still unflushed, values both ways."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote_runtime.wire import frames
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.bundle import Bundle
from remote_runtime.worker import footprint
from tests.worker.keeper.conftest import zygote_in_folder
from tests.worker.keeper.link import REAL, LiveKeeper, LiveZygote, text_of, until

LIMITS = pb.Returns(name_limit_bytes=8 << 20, total_limit_bytes=64 << 20)


@pytest.fixture(scope="module")
def real() -> Iterator[LiveZygote]:
    with zygote_in_folder(REAL) as found:
        yield found


@pytest.fixture
def keeper(real: LiveZygote) -> Iterator[LiveKeeper]:
    found = real.keeper(grace_s=0.3, tick_s=0.02)
    yield found
    found.close()


def test_hello(keeper: LiveKeeper) -> None:
    events = list(keeper.claim().client().run("\nprint('hello')", returns=LIMITS).events())
    assert text_of(events) == "hello\n" and events[-1].end.status == "ok"


def test_output_of_many_kinds_is_in_order(keeper: LiveKeeper) -> None:
    source = (
        "\nimport sys\nfrom IPython.display import display\n"
        "for i in range(5):\n    print('out', i); print('err', i, file=sys.stderr); display(i)"
    )
    events = list(keeper.claim().client().run(source, returns=LIMITS).events())
    kinds = "".join(e.stream.text if e.HasField("stream") else "D\n" for e in events if not e.HasField("end"))
    assert kinds.splitlines()[1:] == [line for i in range(5) for line in (f"out {i}", f"err {i}", "D")]


DEATHS = {
    "sigkill": ("import os; os.kill(os.getpid(), 9)", "was killed by SIGKILL"),
    "segfault": ("import ctypes; ctypes.string_at(0)", "was killed by SIGSEGV"),
    "exit": ("import os; os._exit(3)", "exited with code 3 (os._exit)"),
}


@pytest.mark.parametrize("way", DEATHS)
def test_what_was_printed_before_a_death_is_shown_once(keeper: LiveKeeper, way: str) -> None:
    how, words = DEATHS[way]
    client = keeper.claim().client()
    client.run("\ny = 1", "r0", returns=LIMITS).end("r0")
    events = list(client.run(f"\nfor i in range(2000): print(i)\nprint('last', end='')\n{how}").events())
    shown = text_of([e for e in events if not e.stream.stderr])
    assert shown == "".join(f"{i}\n" for i in range(2000)) + "last"
    assert words in events[-1].end.problem.message and "gone: y" in events[-1].end.problem.message
    after = client.run("\nprint('y' in globals())", "r2", returns=LIMITS)
    assert text_of(list(after.events("r2"))) == "False\n"


def test_a_loop_is_interrupted_at_its_line(keeper: LiveKeeper) -> None:
    client = keeper.claim().client()
    client.run("\nprint('on')\nwhile True:\n    pass", returns=LIMITS).until_text("on")
    client.send(interrupt=pb.Interrupt(run_id="r1"))
    end = client.end()
    assert (end.status, end.problem.type_name) == ("interrupted", "KeyboardInterrupt")
    assert client.run("\nprint(1)", "r2", returns=LIMITS).end("r2").status == "ok"


def test_native_code_that_ignores_the_interrupt_is_killed(keeper: LiveKeeper) -> None:
    client = keeper.claim().client()
    client.run("\nprint('on', flush=True)\nsum(range(10**13))").until_text("on")
    pid, before_s = keeper.info().pid, cpu_s(keeper.info().pid)
    until(lambda: cpu_s(pid) > before_s + 0.05, "the native code to begin")
    client.send(interrupt=pb.Interrupt(run_id="r1"))
    end = client.end()
    assert end.status == "interrupted" and "did not stop within 0.3 s" in end.problem.message
    assert client.run("\nprint(1)", "r2", returns=LIMITS).end("r2").status == "ok"


def cpu_s(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / os.sysconf("SC_CLK_TCK")


def test_memory_over_the_limit(keeper: LiveKeeper) -> None:
    client = keeper.claim(memory_limit_bytes=500 << 20).client()
    end = client.run("\nprint('on')\nb = bytearray(600 << 20)\nimport time; time.sleep(60)").end()
    assert end.problem.code == "memory" and end.peak_memory_bytes > 500 << 20


def test_values_come_back_whole(keeper: LiveKeeper) -> None:
    client = keeper.claim().client()
    source = "\na = bytearray(b'x') * (7 << 20); s = 5"
    end = client.run(source, returns=LIMITS).end()
    assert end.status == "ok" and client.bundle.size_bytes > 7 << 20
    replay = keeper.client()
    replay.send(follow=pb.Follow(run_id="r1"))
    replay.end()
    assert bytes(replay.bundle.pickle) == bytes(client.bundle.pickle)
    assert [bytes(b) for b in replay.bundle.buffers] == [bytes(b) for b in client.bundle.buffers]


def test_a_large_value_is_fetched_by_a_client_that_takes_its_time(keeper: LiveKeeper) -> None:
    client = keeper.claim().client()
    end = client.run("\na = bytearray(b'x') * (100 << 20)", returns=LIMITS).end()
    assert [h.name for h in end.held] == ["a"] and end.held[0].why == "size"
    client.send(request_id=50, fetch=pb.Fetch(name="a"))
    other = keeper.client()
    assert other.ask(list_runs=pb.ListRuns()).runs.runs
    assert client.get().request_id == 50 and client.bundle.size_bytes > 100 << 20
    assert client.run("\nprint(1)", "r2", returns=LIMITS).end("r2").status == "ok"


def test_a_client_that_leaves_in_the_middle_of_a_fetch_holds_nobody_up(keeper: LiveKeeper) -> None:
    client = keeper.claim().client()
    client.run("\na = bytearray(b'x') * (100 << 20)", returns=LIMITS).end()
    client.send(request_id=50, fetch=pb.Fetch(name="a"))
    client.send(request_id=51, list_runs=pb.ListRuns())
    client.close()
    assert keeper.client().run("\nprint(1)", "r2", returns=LIMITS).end("r2").status == "ok"


def test_a_client_that_takes_nothing_of_its_fetch_is_dropped(real: LiveZygote) -> None:
    keeper = real.keeper(stall_s=0.3, tick_s=0.02).claim()
    stuck = keeper.client()
    stuck.run("\na = bytearray(b'x') * (100 << 20)", returns=LIMITS).end()
    before = footprint.resident_bytes(keeper.pid)
    stuck.send(request_id=50, fetch=pb.Fetch(name="a"))
    assert keeper.client().run("\nprint(1)", "r2", returns=LIMITS).end("r2").status == "ok"
    until(lambda: keeper.info().attached_count == 1, "the stuck client to be dropped")
    assert footprint.peak_bytes(keeper.pid) < before + (50 << 20)
    keeper.close()


def test_a_damaged_pickle_is_an_end_and_the_session_lives_on(keeper: LiveKeeper) -> None:
    client = keeper.claim().client()
    message = pb.ToWorker(request_id=9, run=pb.Run(run_id="r1", source="\nprint(1)"))
    frames.announce(message.run.bundle, Bundle(b"no pickle"), 1)
    client.raw(frames.control(message))
    end = client.end()
    assert end.status == "error" and end.problem.code
    assert client.run("\nprint(1)", "r2", returns=LIMITS).end("r2").status == "ok"


def test_a_hundred_thousand_lines(keeper: LiveKeeper) -> None:
    events = list(keeper.claim().client().run("\nfor i in range(100_000): print(i)", returns=LIMITS).events())
    assert text_of(events) == "".join(f"{i}\n" for i in range(100_000))


def test_numpy_is_seeded_in_each_worker() -> None:
    with zygote_in_folder(REAL, "--imports", "numpy.random") as zygote:
        draws = set()
        for _ in range(2):
            keeper = zygote.keeper().claim()
            client = keeper.client().run("\nimport numpy; print(numpy.random.rand())", returns=LIMITS)
            draws.add(text_of(list(client.events())))
            keeper.close()
        assert len(draws) == 2
