"""Work that several threads share is done whole, once, and by nobody any more when it is over."""

from __future__ import annotations

import gc
import os
import signal
import threading
import weakref
from collections import Counter

import pytest

from remote_runtime.wire import crew
from remote_runtime.wire.limits import MIB

TWO_CORES = pytest.mark.skipif(not crew._other_cpus(), reason="this process may run on one core alone")


@pytest.mark.parametrize("size", [0, 1, crew.SPLIT_BYTES - 1, crew.SPLIT_BYTES, 100 * MIB, 1024 * MIB + 5])
def test_parts_cover_all_of_it(size: int) -> None:
    parts = crew.parts(size)
    assert [parts[0][0], *(end for _, end in parts)] == [*(begin for begin, _ in parts), size]
    assert all(end - begin <= max(crew.PART_BYTES, crew.SPLIT_BYTES) for begin, end in parts)


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_each_piece_is_done_once(count: int) -> None:
    done: Counter[int] = Counter()
    crew.share(lambda number: done.update([number]), count)
    assert done == Counter(range(count))


@TWO_CORES
def test_two_are_at_it_at_once() -> None:
    both = threading.Barrier(2)
    crew.share(lambda _: both.wait(30), 2)  # breaks, and raises, where one does both pieces


@TWO_CORES
@pytest.mark.parametrize("in_caller", [True, False])
def test_what_a_piece_raises_is_raised_when_nobody_is_busy(in_caller: bool) -> None:
    me, both, busy = threading.get_ident(), threading.Barrier(2), []

    def work(_: int) -> None:
        busy.append(None)
        both.wait(30)
        if (threading.get_ident() == me) is in_caller:
            busy.pop()
            raise ValueError("a piece")
        while len(busy) > 1:  # the other has raised
            pass
        busy.pop()

    with pytest.raises(ValueError, match="a piece"):
        crew.share(work, 2)
    assert not busy


@TWO_CORES
def test_a_press_waits_for_the_helpers() -> None:
    me, both, pressed, finished = threading.get_ident(), threading.Barrier(2), threading.Event(), []

    def work(_: int) -> None:
        both.wait(30)
        if threading.get_ident() == me:
            try:
                os.kill(os.getpid(), signal.SIGINT)
                threading.Event().wait(30)
            finally:
                pressed.set()
        pressed.wait(30)
        finished.append(threading.get_ident())

    with pytest.raises(KeyboardInterrupt):
        crew.share(work, 2)
    assert len(finished) == 1
    assert me not in finished


def test_nothing_of_the_work_is_kept() -> None:
    class Work:
        def __call__(self, number: int) -> None:
            pass

    work = Work()
    gone, seen = threading.Event(), weakref.finalize(work, lambda: gone.set())
    crew.share(work, 100)
    del work
    gc.collect()
    assert gone.wait(30)  # a helper may come too late to help, and lets go then
    assert not seen.alive


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # newer Pythons warn of a fork beside threads, which it is
def test_a_forked_child_has_helpers_of_its_own() -> None:
    crew.share(lambda _: None, 2)
    pid = os.fork()
    if pid == 0:
        done: list[int] = []
        try:
            crew.share(done.append, 8)
        finally:
            os._exit(len(done))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 8


def test_where_no_thread_can_be_started_the_caller_does_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(crew._thread, "start_new_thread", refused)
    monkeypatch.setattr(crew, "_started", [])
    done: list[int] = []
    crew.share(done.append, 4)
    assert sorted(done) == [0, 1, 2, 3]
