"""What a run bound and deleted, and what was put aside for it."""

from __future__ import annotations

import gc
import weakref

import pytest

from remote_runtime.worker.namespace import Before, Names, bound_in


def names_of(namespace: dict, hidden: dict | None = None) -> Names:
    return Names(namespace, hidden or {})


class Thing:
    pass


@pytest.mark.parametrize(
    ("change", "bound", "deleted"),
    [
        ("pass", [], []),
        ("new = 1", ["new"], []),
        ("small = 2", ["small"], []),
        ("thing = Thing()", ["thing"], []),
        ("thing = thing", [], []),
        ("big.append(1)", [], []),
        ("del thing; thing = Thing()", ["thing"], []),
        ("del big; big = [Thing()]", ["big"], []),
        ("del small, thing", [], ["small", "thing"]),
        ("globals().pop('big')", [], ["big"]),
        ("globals()['big'] = [Thing()]", ["big"], []),
        ("_ = 5; __ = 6; _3 = 7; _i4 = ''; __x__ = 1", [], []),
        ("_mine = 5", ["_mine"], []),
        ("open = 5", ["open"], []),
        ("globals()[7] = 1", [], []),
    ],
)
def test_a_change_is_seen_by_identity(change, bound, deleted):
    hidden = {"open": open}
    space = {"small": 1, "thing": Thing(), "big": [Thing()], "Thing": Thing, **hidden}
    before = Before(names_of(space, hidden), change)
    exec(change, space)
    assert (before.bound(), before.deleted()) == (bound, deleted)


@pytest.mark.parametrize("change", ["thing = None", "del thing", "get_ipython().run_cell_magic('time', '', 'thing = 1')"])
def test_what_the_cell_frees_is_freed_while_it_runs(change):
    space = {"thing": Thing(), "get_ipython": lambda: Magics(space)}
    alive = weakref.ref(space["thing"])
    before = Before(names_of(space), change)
    exec(change, space)
    gc.collect()
    assert alive() is None
    assert before.bound() == (["thing"] if "thing" in space else [])


class Magics:
    def __init__(self, space: dict) -> None:
        self.space = space

    def run_cell_magic(self, name: str, line: str, cell: str) -> None:
        exec(cell, self.space)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("a = b", {"a"}),
        ("del a", {"a"}),
        ("for i in x: pass", {"i"}),
        ("import os.path, re as r", {"os", "r"}),
        ("def f(): g = 1", {"f", "g"}),
        ("class C: pass", {"C"}),
        ("with x as (a, [b, *c]): pass", {"a", "b", "c"}),
        ("try: pass\nexcept E as e: pass", {"e"}),
        ("match v:\n    case {'k': w, **rest}: pass\n    case [h, *t]: pass\n    case other: pass", {"w", "rest", "h", "t", "other"}),
        ("(n := 1)", {"n"}),
        ("get_ipython().run_cell_magic('time', '', 'm = 1')", {"m"}),
        ("get_ipython().run_line_magic('time', 'm = 1')", {"m"}),
        ("not python", set()),
    ],
)
def test_names_a_text_binds(source, names):
    assert bound_in(source) == names


RUNS = [
    ("x = 1\ny = [x]", {}, {"x": 1, "y": [1]}, []),
    ("x += 1", {"x": 1}, {"x": 2}, []),
    ("x.append(2)", {"x": [1]}, {}, []),
    ("del x", {"x": 1}, {}, ["x"]),
    ("x = 5\ndel x", {}, {}, []),
    ("for i in range(3): pass", {}, {"i": 2}, []),
    ("def f(): global g; g = 7\nf()", {}, {"g": 7}, []),
    ("%%time\nx = 1", {}, {"x": 1}, []),
    ("import math\nfrom os import path as p", {}, {"math", "p"}, []),
    ("x = 1\nraise ValueError", {}, {"x": 1}, []),
    ("a = b = []", {}, {"a": [], "b": []}, []),
    ("x = 1\nbroken(", {}, {}, []),
]


@pytest.mark.parametrize(("source", "sent", "bound", "deleted"), RUNS, ids=[row[0].replace("\n", "; ") for row in RUNS])
def test_a_run_returns_what_it_bound_and_names_what_it_deleted(user, source, sent, bound, deleted):
    done = user.run(f"#\n{source}", sent)
    values = {name: value for name, value in done.values.items() if name not in ("!exception", "f")}
    assert values == bound if isinstance(bound, dict) else set(values) == bound
    assert list(done.end.deleted) == deleted


def test_one_object_under_two_names_stays_one(user):
    values = user.run("a = {'k': 1}\nb = [a]").values
    assert values["b"][0] is values["a"]


@pytest.mark.parametrize(
    ("source", "fields", "returned", "deleted", "after"),
    [
        ("x = 2", {"stash": ["x"]}, {"x": 2}, [], 2),
        ("pass", {"stash": ["x"]}, {}, [], 1),
        ("x = x0", {"stash": ["x"]}, {"x": 1}, [], 1),
        ("seen = 'x' in globals()", {"stash": ["x"]}, {"seen": False}, [], 1),
        ("x = 3\ndel x", {"stash": ["x"]}, {}, ["x"], None),
        ("raise KeyError", {"stash": ["x"]}, {}, [], 1),
    ],
)
def test_names_put_aside_come_back_unless_the_cell_bound_them(user, source, fields, returned, deleted, after):
    user.run("x = x0 = 1")
    done = user.run(source, **fields)
    assert {n: v for n, v in done.values.items() if n != "!exception"} == returned
    assert list(done.end.deleted) == deleted
    assert user.run("#\nnow = globals().get('x')").values["now"] == after


HOSTILE = [
    "class C:\n    def __getattribute__(self, n): raise RuntimeError\nv = C()",
    "class C:\n    def __eq__(self, o): 1/0\n    __hash__ = None\n    def __bool__(self): 1/0\nv = C()",
    "class C:\n    def __reduce__(self): raise SystemExit\nv = C()",
    "class M(type):\n    def __repr__(c): 1/0\n    def __eq__(c, o): 1/0\n    __hash__ = type.__hash__\nclass C(metaclass=M): pass\nv = C()",
]


@pytest.mark.parametrize("source", HOSTILE)
def test_values_that_misbehave_end_well_and_stay_there(user, source):
    done = user.run(f"#\n{source}")
    assert done.end.status == "ok", done.traceback
    assert {"C", "v"} <= set(done.end.alive)
    done = user.run("#\ndel v\nw = 1")
    assert done.values == {"w": 1} and list(done.end.deleted) == ["v"]


def test_alive_lists_the_users_names_and_nothing_of_ipythons(user):
    done = user.run("#\nmine = 1\n_also = 2\n'last'")
    assert set(done.end.alive) == {"mine", "_also"}


def test_a_run_does_not_keep_alive_what_its_cell_replaces(user):
    user.run("#\nimport weakref\nclass Net: pass\nnet = Net()\nold = weakref.ref(net)")
    assert user.run("net = Net()\nfreed = old() is None").values["freed"] is True
