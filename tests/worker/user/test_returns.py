"""What comes back by value and what stays as a handle."""

from __future__ import annotations

import pytest

CUDA = "T = type('Tensor', (), {'__module__': 'torch', 'device': 'cuda:0'}); "
"""Looks like a tensor on a GPU, where there is none."""

ROWS = [
    ("small", "x = [1, 2]", {}, {"x"}, {}),
    ("large text", "x = 'a' * (9 << 20)", {}, set(), {"x": "size"}),
    ("large array", "import numpy as np; x = np.zeros(9 << 20, 'u1')", {}, {"np"}, {"x": "size"}),
    ("large list", "x = list(range(3_000_000))", {}, set(), {"x": "size"}),
    ("forced", "x = 'a' * (9 << 20)", {"force": ["x"]}, {"x"}, {}),
    ("kept", "x = 1; y = 2", {"keep": ["x"]}, {"y"}, {"x": "keep"}),
    ("none", "x = 1; y = 2\n3", {"none": True}, set(), {}),
    ("none but one", "x = 1; y = 2", {"none": True, "force": ["y"]}, {"y"}, {}),
    ("own limit", "x = 'a' * 5000; y = 'b'", {"name_limit_bytes": 1000}, {"y"}, {"x": "size"}),
    ("total", "x = 'a' * 600; y = 'b' * 500; z = 'c'", {"total_limit_bytes": 800}, {"y", "z"}, {"x": "size"}),
    ("lock", "import threading; x = threading.Lock(); y = 1", {}, {"threading", "y"}, {"x": "`x` cannot travel: it is a thread lock"}),
    ("forced lock", "import threading as t; x = t.Lock()", {"force": ["x"]}, {"t"}, {"x": "`x` cannot travel: it is a thread lock"}),
    ("generator", "y = [1]\nx = (i for i in y)", {}, {"y"}, {"x": "a generator"}),
    ("file", "x = open('/dev/null')", {}, set(), {"x": "an open file"}),
    ("reduce raises", "class C:\n    def __reduce__(self): raise RuntimeError('no')\nx = C(); y = 1", {}, {"C", "y"}, {"x": "RuntimeError: no"}),
    ("function", "k = 3\ndef f(): return k", {}, {"k", "f"}, {}),
    ("module", "import json as j", {}, {"j"}, {}),
    ("tensor", "import torch; x = torch.ones(3)", {}, {"torch", "x"}, {}),
    ("on a GPU", f"{CUDA}x = T(); y = [T()]; z = {{'a': {{'b': T()}}}}; del T", {}, set(), {"x": "cuda", "y": "cuda", "z": "cuda"}),
    ("last value", "[1, 2]", {}, {"_"}, {}),
    ("last value, large", "b'a' * (9 << 20)", {}, set(), {"_": "size"}),
]


@pytest.mark.parametrize(("source", "rule", "returned", "held"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_each_name_goes_back_or_stays(user, source, rule, returned, held):
    done = user.run(f"#\n{source}", returns=rule)
    assert done.end.status == "ok", done.traceback
    assert set(done.values) == returned
    assert set(done.held) == set(held)
    assert all(held[name] in row.why and row.token for name, row in done.held.items())


def test_an_exception_and_what_was_bound_before_it_come_back_together(user):
    values = user.run("#\nbox = {}\nraise ValueError(box)").values
    assert values["!exception"].args[0] is values["box"]


DESCRIBED = [
    ("import numpy as np; v = np.arange(12.0).reshape(3, 4)", {"type_name": "numpy.ndarray", "size_bytes": 96, "shape": [3, 4], "has_shape": True, "dtype": "float64", "preview": "0, 1, 2, 3, 4, 5, …"}),
    ("import torch; v = torch.zeros(2, 3)", {"type_name": "torch.Tensor", "size_bytes": 24, "shape": [2, 3], "dtype": "torch.float32", "device": "cpu", "preview": "0, 0, 0, 0, 0, 0, …"}),
    ("import pandas as pd; v = pd.DataFrame({'a': [1, 2], 'b': [3.0, 4.0]})", {"type_name": "pandas.DataFrame", "shape": [2, 2], "preview": "a, b"}),
    ("import torch; v = torch.nn.Linear(10, 5)", {"type_name": "torch.Linear", "size_bytes": 220, "dtype": "torch.float32", "device": "cpu", "preview": "55 parameters"}),
    ("v = 'text'", {"type_name": "str", "size_bytes": 4, "preview": "'text'"}),
    ("v = list(range(1000))", {"type_name": "list", "preview": "[0, 1, 2, 3, 4, 5, ...]"}),
    ("class C:\n    def __repr__(self): 1/0\nv = C()", {"type_name": "C", "preview": ""}),
    ("class C:\n    def __repr__(self): return 'x\\n' * 10_000\nv = C()", {"type_name": "C", "preview": "x " * 59 + "x…"}),
    ("class C:\n    shape = property(lambda s: 1/0)\n    dtype = nbytes = shape\nv = C()", {"type_name": "C", "preview": ""}),
    ("class C:\n    def __getattr__(self, n): return self\n    def __call__(self, *a): return self\nv = C()", {"type_name": "C"}),
    ("class C:\n    def __getattribute__(self, n): raise SystemExit\nv = C()", {"type_name": "C"}),
    ("from unittest.mock import MagicMock\nv = MagicMock()", {"type_name": "unittest.MagicMock"}),
    ("import numpy\nv = numpy.array(5.0)", {"shape": [], "has_shape": True, "preview": "5"}),
    ("v = numpy = __import__('numpy').ndarray", {"type_name": "type", "has_shape": False, "preview": "ndarray"}),
]


@pytest.mark.parametrize(("source", "facts"), DESCRIBED, ids=[row[0].split("\n")[0] for row in DESCRIBED])
def test_a_handle_tells_what_it_stands_for(user, source, facts):
    row = user.run(f"#\n{source}", returns={"keep": ["v"]}).held["v"]
    assert {name: list(getattr(row, name)) if name == "shape" else getattr(row, name) for name in facts} == facts


def test_a_size_that_cannot_be_told_is_absent(user):
    assert not user.run("v = object()", returns={"keep": ["v"]}).held["v"].HasField("size_bytes")


def test_a_handle_is_found_by_its_token_and_under_another_name(user):
    done = user.run("class M: pass\nmodel = M()\nfirst = id(model)", returns={"keep": ["model"]})
    token = done.held["model"].token
    again = user.run("#\ndel model\nsame = id(net) == first", renames={"net": token})
    assert again.values["same"] is True and list(again.end.deleted) == ["model"]


def test_a_dropped_handle_lets_its_object_go(user):
    done = user.run("#\nimport weakref\nclass M: pass\nm = M()\nw = weakref.ref(m)", returns={"keep": ["m", "w"]})
    user.run("del m")
    assert user.run("alive = w() is not None").values["alive"] is True
    user.ask(drop={"tokens": [done.held["m"].token]})
    assert user.run("alive = w() is not None").values["alive"] is False


def test_an_unknown_handle_stops_the_run_before_it_starts(user):
    done = user.run("ran = 1", renames={"net": "gone"})
    assert done.end.problem.code == "not-found" and list(done.end.alive) == []
