"""Exceptions of the user's, whatever they are: one end, at the user's line."""

from __future__ import annotations

import re
import sys
import types

import pytest

GROUPS = pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with 3.11")

ARROWS = [
    ("#%%gpu\n1/0", "ZeroDivisionError", "Cell In[7], line 2"),
    ("#%%gpu A100\n\n\nx = 1\nraise KeyError('k')", "KeyError", "Cell In[7], line 5"),
    ("1/0", "ZeroDivisionError", "Cell In[7], line 1"),
    ("\n\n\n1/0", "ZeroDivisionError", "Cell In[7], line 4"),
    ("#\nif True:\n    x = (\n", "SyntaxError", "Cell In[7], line 3"),
    ("#\n  x = 1\n y = 2", "IndentationError", "Cell In[7], line 2"),
    ("#\nexec('1 +')", "SyntaxError", "Cell In[7], line 2"),
    ("#\nreturn 5", "SyntaxError", "Cell In[7], line 2"),
    ("#\nimport asyncio\nawait asyncio.sleep(0)\n1/0", "ZeroDivisionError", "Cell In[7], line 4"),
    ("#\nnope", "NameError", "Cell In[7], line 2"),
    ("#\nimport nosuchmodule", "ModuleNotFoundError", "Cell In[7], line 2"),
    ("#\n%time 1/0", "ZeroDivisionError", "Cell In[7], line 2"),
    ("#\n%%time\nx = 1\n\n1/0", "ZeroDivisionError", "Cell In[7], line 5"),
    ("#\n\n\n%%time\n1/0", "ZeroDivisionError", "Cell In[7], line 5"),
    pytest.param("#\nraise ExceptionGroup('m', [ValueError()])", "ExceptionGroup", "Cell In[7], line 2", marks=GROUPS),
]


@pytest.mark.parametrize(("source", "kind", "where"), ARROWS)
def test_a_traceback_points_at_the_users_line(user, source, kind, where):
    problem = user.run(source, count=7).end.problem
    text = "\n".join(problem.traceback)
    assert problem.type_name == kind and problem.code == ""
    assert re.search(r"Cell In\[\d+\], line \d+", text).group() == where and kind in text
    assert "remote_runtime" not in text and "interactiveshell" not in text


def test_all_frames_are_kept_apart(user):
    problem = user.run("#\n1/0", count=8).end.problem
    assert "in run_code" in "\n".join(problem.full_traceback)
    assert "Cell In[8], line 2" in "\n".join(problem.full_traceback)


def test_frames_of_functions_from_other_cells_name_their_cell(user):
    user.run("#\ndef f():\n    return 1/0", count=3)
    text = user.run("f()", count=4).traceback
    assert "Cell In[4], line 1" in text and "Cell In[3], line 3" in text


def test_chained_causes_are_shown_with_their_lines(user):
    text = user.run("#\ntry:\n    1/0\nexcept ZeroDivisionError as e:\n    raise ValueError('second') from e", count=5).traceback
    assert "Cell In[5], line 3" in text and "Cell In[5], line 5" in text
    assert "direct cause" in text and "ValueError: second" in text


def test_the_users_exception_travels_when_it_can(user):
    done = user.run("#\nraise ValueError('v', 1)")
    assert done.end.problem.has_exception and done.values["!exception"].args == ("v", 1)


def test_an_exception_class_of_the_notebook_travels(user):
    done = user.run("#\nclass Mine(Exception):\n    def __init__(self, a, b): self.b = b; super().__init__(a)\nraise Mine(1, 2)")
    assert done.end.problem.has_exception and done.values["!exception"].b == 2
    assert (done.end.problem.type_name, done.end.problem.module) == ("Mine", "__main__")


HOSTILE = [
    ("str raises", "class E(Exception):\n    def __str__(self): raise RuntimeError('no')\nraise E"),
    ("repr and str raise", "class E(Exception):\n    def __repr__(self): 1/0\n    __str__ = __repr__\nraise E"),
    ("reduce raises", "class E(Exception):\n    def __reduce__(self): raise RuntimeError('no')\nraise E('x')"),
    ("reduce exits", "class E(Exception):\n    def __reduce__(self): raise SystemExit\nraise E('x')"),
    ("holds a lock", "import threading\nclass E(Exception): pass\nraise E(threading.Lock())"),
    ("init of another kind", "class E(Exception):\n    def __new__(cls, *a, need): return super().__new__(cls)\n    def __init__(self, need): pass\nraise E(need=1)"),
    ("renders itself, badly", "class E(Exception):\n    def _render_traceback_(self): 1/0\nraise E"),
    ("recursion", "def f(): f()\nf()"),
    ("memory", "raise MemoryError"),
    ("its own cause", "e = ValueError('e')\ne.__cause__ = e\nraise e"),
    ("attributes raise", "class E(Exception):\n    def __getattribute__(self, name): raise RuntimeError(name)\nraise E('x')"),
    ("metaclass", "class M(type):\n    def __repr__(cls): 1/0\nclass E(Exception, metaclass=M): pass\nraise E"),
    ("base", "class E(BaseException): pass\nraise E"),
    ("surrogate", "raise ValueError('\\ud800')"),
    ("generator exit", "raise GeneratorExit"),
    ("cancelled", "import asyncio\nraise asyncio.CancelledError"),
    ("keyboard", "raise KeyboardInterrupt"),
]


@pytest.mark.parametrize("source", [row[1] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
def test_hostile_exceptions_end_once_and_the_next_cell_works(user, source):
    done = user.run(f"#\nbound = 1\n{source}")
    assert done.end.status in ("error", "interrupted") and done.end.problem.type_name
    assert done.end.problem.traceback and done.values["bound"] == 1
    assert done.end.problem.has_exception == ("!exception" in done.values)
    assert user.run("1 + 1").values == {"_": 2}


def test_a_long_message_is_cut_and_says_so(user):
    done = user.run("raise ValueError('x' * 10_000_000)")
    assert "characters left out" in done.end.problem.message
    assert done.end.ByteSize() < 4 * 2**20


def test_a_failed_cell_holds_nothing_once_its_end_is_sent(user):
    user.run("#\nimport weakref, gc\nclass Big: pass\ndef f():\n    global seen\n    big = Big()\n    seen = weakref.ref(big)\n    1/0")
    assert user.run("f()").end.status == "error"
    assert user.run("#\ngc.collect()\nfreed = seen() is None").values["freed"] is True


def test_nothing_is_kept_for_a_debugger(user):
    user.run("#\nget_ipython().run_cell('def f(')\nget_ipython().run_cell('1/0');")
    kept = user.run("#\nimport sys\nkept = [name for name in dir(sys) if name.startswith('last_')]").values["kept"]
    assert kept == []


def test_a_captured_cell_shows_its_error_at_its_line(user):
    done = user.run("#\n%%capture\nprint('x')\n1/0", count=6)
    assert "Cell In[6], line 4" in done.err and done.out == ""


def test_an_error_within_a_nested_cell_is_shown(user):
    done = user.run("#\nget_ipython().run_cell('1/0');\nprint('on')")
    assert "ZeroDivisionError" in done.err and done.out == "on\n" and done.end.status == "ok"


class Raising:
    def __reduce__(self):
        return exec, ("raise ValueError('broken')",)


class Leaving:
    def __reduce__(self):
        return exec, ("raise SystemExit",)


def of_an_absent_module() -> None: ...


of_an_absent_module.__module__ = "nosuch_module"


@pytest.mark.parametrize(
    ("value", "words"),
    [(of_an_absent_module, "module `nosuch_module` is not installed"), (Raising(), "ValueError: broken"), (Leaving(), "SystemExit")],
)
def test_a_value_that_cannot_be_rebuilt_stops_the_run_before_it_starts(user, monkeypatch, value, words):
    absent = types.ModuleType("nosuch_module")
    absent.of_an_absent_module = of_an_absent_module
    monkeypatch.setitem(sys.modules, "nosuch_module", absent)
    done = user.run("#\nran = 1", {"v": value})
    assert (done.end.status, done.end.problem.code) == ("error", "unpack")
    assert words in done.end.problem.message and done.end.problem.hint
    assert list(done.end.alive) == []
