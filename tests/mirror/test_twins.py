"""What is one object at one end is one object at the other, and what did not change does not travel."""

from __future__ import annotations

import collections
import gc
import weakref
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.mirror.ends import Pair

MAKERS: dict[str, tuple[str, str, str]] = {
    "list": ("x = [1, 2]", "x.append(3)", "x"),
    "nested list": ("x = [[1], [2]]", "x[1].append(3)", "x"),
    "dict": ("x = {'a': [1]}", "x['b'] = x['a']", "x"),
    "set": ("x = {1, 2}", "x.add(3)", "x"),
    "bytearray": ("x = bytearray(b'ab')", "x += b'c'", "x"),
    "instance": ("class A: pass\nx = A(); x.items = [1]", "x.items.append(2); x.more = 1", "vars(x)"),
    "slots": ("class A:\n  __slots__ = ('a', 'b')\nx = A(); x.a = 1", "del x.a; x.b = [2]", "(hasattr(x, 'a'), x.b)"),
    "function": ("def f(n=[0]):\n  return n\nx = f", "x.__defaults__[0].append(1); x.tag = 2", "(x(), x.tag)"),
    "closure": ("def make():\n  kept = []\n  return lambda v: (kept.append(v), kept)[1]\nx = make()", "x(1)", "x(2)"),
    "array": ("import numpy as np\nx = np.arange(3000.)", "x[5] = -1", "x.tolist()"),
    "array in list": ("import numpy as np\nx = [np.arange(3), 'a']", "x[0][1] = 7", "x[0].tolist()"),
    "frame": ("import pandas as pd\nx = pd.DataFrame({'a': [1, 2], 's': ['p', 'q']})", "x['b'] = x.a * 2", "x.to_dict()"),
    "deque": ("import collections\nx = collections.deque([1], 5)", "x.append([2])", "list(x)"),
    "counter": ("import collections\nx = collections.Counter('ab')", "x['a'] += 2", "dict(x)"),
    "ordered": ("import collections\nx = collections.OrderedDict(a=1, b=2)", "x.move_to_end('a')", "list(x)"),
    "defaultdict": ("import collections\nx = collections.defaultdict(list)", "x['a'].append(1)", "dict(x)"),
    "subclass of list": ("class L(list): pass\nx = L([1]); x.tag = []", "x.append(2); x.tag.append(x)", "(list(x), x.tag[0] is x)"),
    "subclass of dict": ("class D(dict): pass\nx = D(a=1)", "x['b'] = 2; x.tag = 1", "(dict(x), x.tag)"),
    "cycle": ("x = []; x.append(x)", "x.append(1)", "(x[0] is x, x[1])"),
    "tensor": ("import torch\nx = torch.zeros(5)", "x += 1", "x.tolist()"),
    "module": ("import torch\nx = torch.nn.Linear(2, 1)", "x.weight.data.fill_(3)", "x.weight.tolist()"),
}


@pytest.fixture
def pair() -> Pair:
    return Pair()


@pytest.mark.parametrize("case", MAKERS)
@pytest.mark.parametrize("way", ["there", "back"])
def test_a_change_is_made_in_place_at_the_other_end(pair: Pair, case: str, way: str) -> None:
    make, change, look = MAKERS[case]
    pair.here.do(make + "\nheld = [x]")
    pair.send("x", "held")
    source, target = (pair.here, pair.there) if way == "there" else (pair.there, pair.here)
    before = target.ns["x"]
    source.do(change)
    (pair.send if way == "there" else pair.back)("x")
    assert target.ns["x"] is before and target.ask("held[0] is x")
    assert target.ask(look) == source.ask(look)


@pytest.mark.parametrize("case", MAKERS)
def test_what_did_not_change_does_not_travel(pair: Pair, case: str) -> None:
    pair.here.do(MAKERS[case][0])
    pair.send("x")
    for end in (pair.here, pair.there):
        delta = end.weigh("x")
        assert delta.same == {"x"}, f"{case} at side {end is pair.there}"


@pytest.mark.parametrize("case", MAKERS)
def test_an_equal_value_made_anew_does_not_travel(pair: Pair, case: str) -> None:
    make, change, look = MAKERS[case]
    if case in ("cycle", "closure"):
        return
    pair.here.do(make)
    pair.send("x")
    there = pair.there.ns["x"]
    pair.here.mirror.sweep({})
    if case != "module":  # its weights are random
        pair.here.do(make)
        assert pair.here.weigh("x").same == {"x"}
    pair.here.do(change)
    pair.send("x")
    assert pair.there.ns["x"] is there or case == "module"
    assert pair.there.ask(look) == pair.here.ask(look)


def test_aliases_survive_in_both_directions(pair: Pair) -> None:
    pair.here.do("a = []; b = a; c = [a, {'k': b}]")
    pair.send("a", "b", "c")
    pair.there.do("b.append(1); d = c[1]")
    pair.back("a", "b", "c", "d")
    assert pair.here.ask("a is b and c[0] is a and c[1]['k'] is a and d is c[1]")
    assert pair.here.ns["a"] == [1]


def test_what_moved_is_the_same_object_at_its_new_place(pair: Pair) -> None:
    pair.here.do("inner = [1]; x = [inner, [2]]")
    pair.send("inner", "x")
    pair.there.do("x.insert(0, [0]); x.reverse()")
    pair.back("x")
    assert pair.here.ask("x[1] is inner") and pair.here.ns["x"] == [[2], [1], [0]]


def test_names_that_were_one_and_are_two_part(pair: Pair) -> None:
    pair.here.do("a = [1]; b = a")
    pair.send("a", "b")
    pair.here.do("b = [1]")
    pair.send("a", "b")
    assert pair.there.ask("a is not b") and pair.there.ns["b"] == [1]


def test_names_that_were_two_and_are_one_join(pair: Pair) -> None:
    pair.here.do("a = [1]; b = [1]")
    pair.send("a", "b")
    pair.here.do("b = a")
    pair.send("a", "b")
    assert pair.there.ask("a is b")


def test_an_equal_inner_object_made_anew_is_another(pair: Pair) -> None:
    pair.here.do("old = [1]; x = [old]")
    pair.send("old", "x")
    pair.here.do("x[0] = [1]")
    pair.send("old", "x")
    assert pair.there.ask("x[0] is not old")


def test_an_unchanged_array_in_a_changed_list_stays_where_it_is(pair: Pair) -> None:
    pair.here.do("import numpy as np\nbig = np.ones(100_000)\nx = [big, 1]")
    pair.send("x")
    there = pair.there.ns["x"][0]
    pair.here.do("x[1] = 2")
    assert pair.send("x").bundle.size_bytes < 1000
    assert pair.there.ns["x"][0] is there and pair.there.ns["x"][1] == 2


def test_an_array_of_another_shape_is_another_object(pair: Pair) -> None:
    pair.here.do("import numpy as np\nx = np.zeros(3)\nheld = [x]")
    pair.send("x", "held")
    pair.there.do("x.shape = (3, 1)")
    pair.back("x", "held")
    assert pair.here.ns["x"].shape == (3, 1) and pair.here.ask("held[0] is x")


def test_a_forced_name_travels_whole(pair: Pair) -> None:
    pair.here.do("import numpy as np\nx = np.ones(1000)")
    pair.send("x")
    assert pair.send("x", force=True).bundle.size_bytes > 8000


def test_what_the_user_lets_go_of_is_not_held(pair: Pair) -> None:
    pair.here.do("import numpy as np\nx = [np.ones(10)]")
    pair.send("x")
    seen = weakref.ref(pair.here.ns["x"][0])
    pair.here.do("x = 1")
    pair.here.mirror.sweep(pair.here.ns)
    gc.collect()
    assert seen() is None


@pytest.mark.parametrize("mine, other", [(0.0, -0.0), (1, True), (1, 1.0), ("a", b"a"), (1j, complex(-0.0, 1))])
def test_atoms_that_only_compare_equal_are_not_the_same(pair: Pair, mine: Any, other: Any) -> None:
    pair.here.ns["x"] = mine
    pair.send("x")
    pair.here.ns["x"] = other
    pair.send("x")
    assert repr(pair.there.ns["x"]) == repr(other)


def test_a_class_that_is_patched_is_patched_there(pair: Pair) -> None:
    pair.here.do("class A:\n  n = 1\nx = A()")
    pair.send("A", "x")
    pair.here.do("A.n = 2")
    delta = pair.here.weigh("A", "x")
    assert "A" not in delta.same and "x" not in delta.same


def test_a_comment_or_another_place_makes_no_other_function(pair: Pair) -> None:
    pair.here.do("def f(x):\n    return x + 1")
    pair.send("f")
    pair.here.do("# moved\n\n\ndef f(x):\n\n    # said\n    return x + 1")
    assert pair.here.weigh("f").same == {"f"}
    pair.here.do("def f(x):\n    return x + 2")
    pair.send("f")
    assert pair.there.ask("f(1)") == 3


def test_what_cannot_be_compared_counts_as_changed(pair: Pair) -> None:
    pair.here.do("class Odd:\n  def __reduce__(self):\n    raise RuntimeError('no')\nx = Odd()")
    assert "x" in pair.here.weigh("x").new


def test_frames_of_all_kinds_compare(pair: Pair) -> None:
    frame = pd.DataFrame({"s": pd.array(["a", None], "string"), "i": pd.array([1, None], "Int64"), "o": ["x", [1]]})
    pair.here.ns["x"] = frame
    pair.send("x")
    assert pair.there.weigh("x").same == {"x"} and pair.here.weigh("x").same == {"x"}
    pair.there.do("x.loc[0, 's'] = 'b'")
    pair.back("x")
    assert pair.here.ns["x"] is frame and frame.s[0] == "b"


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(20)[::3],
        np.zeros(0),
        np.array(3.0),
        np.array([1, "a", None], object),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        np.array(["2020-01-01"], "M8[D]"),
    ],
    ids=["fortran", "strided", "empty", "scalar", "object", "structured", "dates"],
)
def test_arrays_of_all_layouts_compare(pair: Pair, array: Any) -> None:
    pair.here.ns["x"] = array
    pair.send("x")
    assert pair.here.weigh("x").same == {"x"} and pair.there.weigh("x").same == {"x"}


def test_a_value_of_many_objects_is_followed_by_its_outermost_one(pair: Pair) -> None:
    pair.here.do("x = [[i] for i in range(30_000)]; held = [x]")
    pair.send("x", "held")
    pair.there.do("x[7].append(1)")
    pair.back("x")
    assert pair.here.ns["x"][7] == [7, 1] and pair.here.ask("held[0] is x")


def test_containers_of_many_kinds_keep_their_kind(pair: Pair) -> None:
    pair.here.ns["x"] = collections.OrderedDict(a=collections.deque([1]), b=collections.Counter("a"))
    pair.send("x")
    pair.there.do("x['a'].append(2); x['b']['a'] = 5")
    pair.back("x")
    assert pair.here.ns["x"] == collections.OrderedDict(a=collections.deque([1, 2]), b=collections.Counter(a=5))
