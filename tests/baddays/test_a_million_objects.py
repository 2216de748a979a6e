"""A million small objects: compared, sent, changed and found unchanged, in memory that does not grow with each cell."""

from __future__ import annotations

import pytest

from tests.kernels import LiveKernel, play
from tests.mirror.ends import Pair
from tests.notebook.conftest import receipt

MILLION = 1_000_000
MAKERS = {
    "text": ("x = [str(n) for n in range({n})]", "x[7] = 'other'", "x[7]"),
    "tuples": ("x = [(n, str(n)) for n in range({n})]", "x[7] = 'other'", "x[7]"),
    "dicts": ("x = [{{'a': n}} for n in range({n})]", "x[7]['a'] = 'other'", "x[7]"),
    "nested": ("x = {{n: {{m: [m] for m in range(9)}} for n in range({n} // 20)}}", "x[7][3].append('other')", "x[7][3]"),
    "instances": ("class P:\n  def __init__(self, n): self.n = n\nx = [P(n) for n in range({n} // 4)]", "x[7].n = 'other'", "x[7].n"),
    "one object": ("y = [1]; x = [y] * {n}", "x[7].append('other')", "(x[0], x[0] is x[7])"),
}


@pytest.mark.parametrize("case", MAKERS)
def test_is_sent_once_and_then_what_changed(case: str) -> None:
    to_and_fro(case, MILLION // 10)


@pytest.mark.soak
@pytest.mark.parametrize("case", MAKERS)
def test_a_whole_million_is_sent_once_and_then_what_changed(case: str) -> None:
    to_and_fro(case, MILLION)


def to_and_fro(case: str, count: int) -> None:
    make, change, look = MAKERS[case]
    pair = Pair()
    pair.here.do(make.format(n=count))
    pair.here.do("held = [x]")
    pair.send("x", "held")
    there, count = pair.there.ns["x"], len(pair.here.mirror.twins._objects)
    assert pair.here.weigh("x", "held").same == {"x", "held"} and count < 10
    pair.there.do(change)
    pair.back("x", "held")
    assert pair.here.ask(look) == pair.there.ask(look) and pair.here.ask("held[0] is x")
    pair.here.do(change.replace("other", "again"))
    pair.send("x", "held")
    assert pair.there.ask(look) == pair.here.ask(look) and pair.there.ns["x"] is there
    assert len(pair.here.mirror.twins._objects) == len(pair.there.mirror.twins._objects) == count


def test_in_a_notebook_it_is_reused_and_a_name_inside_stays_the_same_object(kernel: LiveKernel) -> None:
    play(kernel, f"rows = [{{'n': n}} for n in range({MILLION})]; first = rows[0]")
    assert play(kernel, "G print(len(rows), rows[0] is first)").text() == f"{MILLION} True\n"
    assert receipt(play(kernel, "G rows[-1], first"))["reused"] == ["first", "rows"]
    shown = play(kernel, "G first['n'] = 'changed'; rows[1]['n'] = 'too'")
    assert receipt(shown)["updated"] == ["first", "rows"]
    assert play(kernel, "print(rows[0], rows[1], rows[0] is first, len(rows))").text() == f"{{'n': 'changed'}} {{'n': 'too'}} True {MILLION}\n"


def test_what_takes_long_to_compare_is_named_with_what_to_do(kernel: LiveKernel) -> None:
    play(kernel, "import time\nclass Slow:\n    def __reduce__(self):\n        time.sleep(0.25)\n        return Slow, ()", "slow = Slow(); quick = [1]")
    shown = play(kernel, "G slow, quick")
    assert set(receipt(shown)["slow"]) == {"slow"}
    line = next(o["data"]["text/plain"] for o in shown.outputs if "`slow` took" in o.get("data", {}).get("text/plain", ""))
    assert "to compare: make it in a cell there, or `--keep` it" in line
