"""Threads of the notebook change values while those are compared, pickled and sent: each is whole, the next run is right."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from remote_runtime.wire.payload import PackError, pack
from tests.kernels import LiveKernel, play
from tests.mirror.ends import Pair
from tests.notebook.conftest import notices

WORK = """
import threading, numpy as np
class Pair:
    pass
stop, numbers, log, table, pair, rows = threading.Event(), np.zeros(400_000), [], {}, Pair(), {}
def work():
    n = 0
    while not stop.wait(0.0003):
        n += 1
        numbers[:] = n
        log.append(n); table[n] = [n]; table.pop(n - 40, None)
        pair.both = (n, -n)
        rows[n % 70] = Pair(); rows.pop((n + 35) % 70, None)
thread = threading.Thread(target=work); thread.start()
"""
READ = "(log == list(range(1, len(log) + 1)), all(v == [k] for k, v in table.items()), sum(pair.both) == 0)"


@pytest.fixture
def working(kernel: LiveKernel) -> Iterator[LiveKernel]:
    play(kernel, WORK)
    yield kernel
    play(kernel, "stop.set(); thread.join()", "%gpu stop")


def test_what_only_the_notebook_changes_is_whole_and_never_in_conflict(working: LiveKernel) -> None:
    for _ in range(12):
        shown = play(working, f"G print({READ}, numbers.shape, len(rows) <= 70)")
        assert shown.text() == "(True, True, True) (400000,) True\n" and notices(shown) == []


def test_when_it_is_still_both_ends_hold_the_same(working: LiveKernel) -> None:
    play(working, "G (numbers, log, table, pair)", "stop.set(); thread.join()")
    there = play(working, "G print(log[-1], numbers.min(), numbers.max(), sorted(table), pair.both)").text()
    assert there == play(working, "print(log[-1], numbers.min(), numbers.max(), sorted(table), pair.both)").text()


def test_what_the_cell_changes_too_is_left_with_a_notice(working: LiveKernel) -> None:
    shown = play(working, "G log.append('theirs')")
    assert any("`log` changed in the session and not here" in told for told in notices(shown))
    assert play(working, "print('theirs' in log)").text() == "False\n"
    assert "Diverged" in working.run("%%gpu cpu\nlog").error["ename"]
    assert play(working, "%%gpu cpu -i log\nprint('theirs' in log)").text() == "False\n"


def test_a_dict_that_never_holds_still_is_named() -> None:
    table: dict[int, object] = {}

    class Item:
        def __reduce__(self):
            table[len(table)] = 1
            return Item, ()

    table.update({-1: Item(), -2: Item()})
    with pytest.raises(PackError, match="`table` cannot travel: it is being changed by another thread"):
        pack({"table": table}, namespace={})


def test_a_dict_that_holds_still_at_last_travels() -> None:
    table: dict[int, object] = {}
    changes = iter(range(2))

    class Item:
        def __reduce__(self):
            if next(changes, None) is not None:
                table[len(table)] = 1
            return int, (5,)

    table.update({-1: Item(), -2: Item()})
    assert pack({"table": table}, namespace={}).names == ("table",)


def test_digests_are_told_only_where_nothing_can_change_meanwhile() -> None:
    """An array that another thread changes between its digest and its copy is not taken for changed at the other end."""
    pair, released = Pair(), threading.Event()
    pair.here.do("import numpy as np\nx = np.zeros(5000)")
    thread = threading.Thread(target=released.wait)
    thread.start()
    try:
        delta = pair.here.weigh("x")
        pair.here.do("x[:] = 1")
        pair.there.take(pair.here.pack(delta).bundle)
    finally:
        released.set()
        thread.join()
    assert pair.there.weigh("x").same == {"x"} and pair.there.ns["x"][0] == 1
    assert "x" in pair.here.weigh("x").changed
