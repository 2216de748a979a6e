"""Views of one array are views of it at both ends, where one cell reads the array and its views; what cannot be is copied."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings

from tests.kernels import LiveKernel, play
from tests.mirror.ends import Pair
from tests.sync.programs import PRELUDE, Step, programs_of
from tests.sync.test_random_programs_in_one_process import run, said, shown
from tests.sync.twoshells import TwoShells

VIEWS = {
    "rest": "b = a[2:]",
    "every other": "b = a[::2]",
    "backwards": "b = a[::-1]",
    "rows": "b = a.reshape(3, 4)",
    "turned": "b = a.reshape(3, 4).T",
    "block": "b = a.reshape(3, 4)[1:, 2:]",
    "column": "b = a.reshape(3, 4)[:, 1]",
    "one element": "b = a[4:5].reshape(())",
    "bytes": "b = a.view('u1')",
    "fields": "a = np.zeros(5, [('x', 'f8'), ('y', 'i4')]); b = a['y']",
    "of a view": "c = a[1:]; b = c[1:]",
    "sideways": "a = np.asfortranarray(np.arange(12.).reshape(3, 4)); b = a[1]",
    "in a list": "b = [a[3:], a]",
    "siblings": "a = np.arange(12.).reshape(3, 4); b = a.T",
    "large": "a = np.arange(300_000.); b = a[1000:]",
}
CHANGES = ["a += 1", "b[-1] += 5", "a[...] = 7"]


@pytest.fixture
def pair() -> Pair:
    pair = Pair()
    for end in (pair.here, pair.there):
        end.do("import numpy as np")
    return pair


def flat(pair: Pair) -> tuple[list[str], list[str]]:
    look = "[repr(np.asarray(x).tolist()) for x in (a, *(b if type(b) is list else [b]))]"
    return pair.here.ask(look), pair.there.ask(look)


@pytest.mark.parametrize("case", VIEWS)
@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")], ids=["array first", "view first"])
def test_a_view_is_a_view_at_the_other_end(pair: Pair, case: str, names: tuple[str, str]) -> None:
    pair.here.do(f"a = np.arange(12.)\n{VIEWS[case]}")
    once = pair.send(*names).bundle.size_bytes
    assert once < 1.3 * pair.here.ask("a.nbytes") + 1500
    assert pair.there.ask("np.shares_memory(a, b[0] if type(b) is list else b)")
    assert pair.there.weigh("a", "b").same == {"a", "b"} == pair.here.weigh("a", "b").same


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("case", [case for case in VIEWS if case not in ("one element", "bytes", "fields")])
def test_a_change_through_either_is_seen_through_both(pair: Pair, case: str, change: str) -> None:
    pair.here.do(f"a = np.arange(12.)\n{VIEWS[case]}\nheld = [a, b]")
    pair.send("a", "b", "held")
    pair.there.do(change)
    pair.back("a", "b", "held")
    pair.here.do(change.replace("+=", "-="))
    pair.send("a", "b", "held")
    mine, theirs = flat(pair)
    assert mine == theirs and pair.here.ask("held[0] is a and held[1] is b") and pair.there.ask("held[0] is a and held[1] is b")


def test_a_view_made_there_is_a_view_here(pair: Pair) -> None:
    pair.here.do("a = np.arange(12.)")
    pair.send("a")
    pair.there.do("b = a[4:]; a[5] = 50")
    pair.back("a", "b")
    assert pair.here.ask("np.shares_memory(a, b)") and pair.here.ask("b[1]") == 50


def test_a_view_that_went_alone_becomes_one_when_its_array_follows(pair: Pair) -> None:
    pair.here.do("a = np.arange(12.); b = a[4:]; held = [b]; kept = {'b': b}, 1")
    pair.send("b", "held", "kept")
    assert pair.send("a", "b", "held", "kept").bundle.size_bytes < 2000
    assert pair.there.ask("np.shares_memory(a, b) and held[0] is b and kept[0]['b'] is b")
    assert pair.here.weigh("a", "b", "held", "kept").same == {"a", "b", "held", "kept"}


def test_a_small_view_does_not_take_its_large_array_along(pair: Pair) -> None:
    pair.here.do("a = np.arange(1_000_000.); b = a[:3]")
    assert pair.send("b").bundle.size_bytes < 1000


@pytest.mark.parametrize("make", ["x = np.arange(20.)[::2]; y = x[2:]", "a = np.arange(9.); x, y = a[:6], a[3:]"])
def test_what_nothing_carries_comes_apart_and_is_right(pair: Pair, make: str) -> None:
    pair.here.do(make)
    pair.send("x", "y")
    assert pair.there.ask("(x.tolist(), y.tolist())") == pair.here.ask("(x.tolist(), y.tolist())")
    pair.there.do("y[0] = 99; z = x[1:]")
    pair.back("x", "y", "z")
    assert pair.here.ask("y[0]") == 99 and pair.here.ask("z.tolist() == x.tolist()[1:] or z.tolist()[0] == 2")


def test_an_array_that_lies_otherwise_here_is_noticed(pair: Pair) -> None:
    """An equal array made anew lies as a column here and as a row there: a view of it made there cannot be one here."""
    pair.here.do("x = np.arange(10.)")
    pair.send("x")
    pair.here.mirror.sweep({})
    pair.here.do("x = np.arange(20.)[::2] / 2; x = np.stack([x, x], 1)[:, 0]")
    assert pair.here.weigh("x").same == {"x"}
    pair.there.do("y = x[3:]")
    with pytest.raises(Exception, match="no longer hold the same") as raised:
        pair.back("x", "y")
    assert raised.value.reason == "parted"


def test_a_memoryview_shows_the_bytearray_beside_it(pair: Pair) -> None:
    pair.here.do("m = bytearray(b'abcdef'); v = memoryview(m)")
    pair.send("m", "v")
    pair.there.do("v[0] = 65; m[1] = 66")
    assert pair.there.ask("(bytes(m), bytes(v))") == (b"ABcdef", b"ABcdef")


def test_frames_that_share_blocks_stay_what_they_are(pair: Pair) -> None:
    pair.here.ns["f"] = frame = pd.DataFrame({"x": [1.0, 2.0], "y": [3.0, 4.0]})
    pair.here.ns["s"], pair.here.ns["values"] = frame["x"], frame.to_numpy()
    pair.send("f", "s", "values")
    pair.there.do("f.loc[0, 'x'] = 9")
    pair.back("f", "s", "values")
    assert frame.x.tolist() == [9, 2] and pair.here.ask("s.tolist()") == [1, 2] and pair.here.ask("values[0, 0]") == 1


def test_in_a_notebook(kernel: LiveKernel) -> None:
    play(kernel, "import numpy as np\ndata = np.zeros((4, 3)); column = data[:, 1]; turned = data.T")
    play(kernel, "G column += 1; turned[0, 0] = 5; last = data[-1]; data[-1, 2] = 7")
    assert play(kernel, "print(data.tolist()[0], last, turned[1], np.shares_memory(last, data))").text() == "[5.0, 1.0, 0.0] [0. 1. 7.] [1. 1. 1. 1.] True\n"
    assert play(kernel, "data[:] = 2", "G print(column, last, turned.sum(), data.sum())").text() == "[2. 2. 2. 2.] [2. 2. 2.] 24.0 24.0\n"


TEMPLATES = r"""
{v} = kept[{n}:]
{v} = kept[::-2]
{v} = kept.reshape(3, 4)
{v} = kept.reshape(3, 4)[:, {n} % 4]
{v} = {w}.T
{v} = {w}[1:]
{v} = {w}.copy()
{v} = {w}
{v} = [{w}, {u}]
{v} = {w}[0]
{v}[0] = {n}
{v} += {n}
{v}[...] = {n}
kept[{n}] += 100
kept *= 2
{v}.append({w})
{v} = {w} + 1
del {v}
print(show_all({{'v': {v}, 'kept': kept}}))
""".strip().splitlines()
RULES = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


def compare(program: list[Step]) -> None:
    """Run a program in one shell and in two; each cell there reads the array of which all others are views."""
    plain: dict[str, Any] = {"__name__": "__main__"}
    both = TwoShells()
    first = "import numpy as np\n" + PRELUDE + "kept = a = np.arange(12.); b = a[3:]; c = [a, b]; d = a.copy(); e = a.reshape(3, 4)"
    run(first, plain)
    both.local(first)
    for step in program:
        source = f"kept\n{step.source}"
        expected = said(lambda source: run(source, plain), source)
        assert said(both.remote if step.is_remote else both.local, source) == expected, step
        assert shown(both.here) == shown(plain), step


@pytest.mark.timeout(300)
@settings(RULES, max_examples=300)
@given(program=programs_of(TEMPLATES))
def test_programs_of_views_do_what_they_do_in_one_shell(program: list[Step]) -> None:
    compare(program)


@pytest.mark.parametrize(
    "sources",
    [
        ["G a = kept[0:]", "L a = kept[0:]\na = a.copy()", "G a[0] = 1"],
        ["G a = kept[2:]\nb = a[1:]", "L b = [a, b]", "G b[1][0] = 7\na *= 2", "L kept += 1"],
    ],
)
def test_programs_of_views_that_once_went_wrong(sources: list[str]) -> None:
    compare([Step(source[2:], source[0] == "G") for source in sources])


@pytest.mark.soak
@pytest.mark.timeout(7200)
@settings(RULES, max_examples=20_000, derandomize=False)
@given(program=programs_of(TEMPLATES))
def test_many_programs_of_views_do_what_they_do_in_one_shell(program: list[Step]) -> None:
    compare(program)
