"""`!` and `%` lines, `%%` cells, help, and dynamic access, as a notebook's cells use them."""

from __future__ import annotations

import pytest

from jupyter_ext.names import plan
from tests.names.rows import Row, check

ROWS = [
    Row("!ls {d} $e ${f} $$HOME", "d e f"),
    Row("!echo $a.b {c[0]} {d + 1} {e!r} {f[1:2]} {{no}}", "a c d e f"),
    Row("!awk '{print $1}' {path}"),
    Row("!echo {a:>10} {b}"),
    Row("!echo } {b}"),
    Row("!pip install foo"),
    Row("!!ls {d}", "d"),
    Row("a = !ls {d}\na", "d", "a"),
    Row("a = %sql select {b}", "b", "a"),
    Row("%cd {folder}", "folder"),
    Row("%env K={v}", "v"),
    Row("%env K=v"),
    Row("%matplotlib inline\nplt.plot(x)", "plt x"),
    Row("%pip install foo"),
    Row("%time y = f(x)\ny", "f x", "y"),
    Row("%time\ny = f(x)", "f x", "y"),
    Row("%time !ls {d}", "d"),
    Row("%time y = (", ""),
    Row("%timeit y = f(x); y", "f x"),
    Row("%timeit -n 10 -r3 -q f(x)", "f x"),
    Row("r = %timeit -o f(x)", "f x", "r"),
    Row("x = 1\n%timeit f(x)", "f", "x"),
    Row("%prun -l 10 -s cumulative f(x)", "f x"),
    Row("%%time\ny = f(x)\ny", "f x", "y"),
    Row("\n\n%%time\n\ny = f(x)", "f x", "y"),
    Row("%%time\n%matplotlib inline\n!ls {d}", "d"),
    Row("%%timeit k = a\nf(k, x)", "a f x"),
    Row("%%timeit -n 3\nf(x)", "f x"),
    Row("%%prun -l 10\nf(x)", "f x"),
    Row("%%capture out --no-stderr\ny = f(x)", "f x", "out y"),
    Row("%%capture --no-stderr\ny = f(x)", "f x", "y"),
    Row("%%bash\necho $x {y}"),
    Row("%%bash -s {a}\necho $1", "a"),
    Row("%%writefile {path}\nx = y", "path"),
    Row("%unknown a b c"),
    Row("for f in fs:\n    !cat {f} {g}", "fs f g".replace(" f ", " "), "f"),
    Row("if c:\n    %time x = f()\nx", "c f x", "x"),
    Row("def f():\n    !ls {d}\n    return y", "d y", "f"),
    Row("/f a b", "f a b"),
    Row(">>> x = y", "y", "x"),
    Row("  x = y\n  !ls", "y", "x"),
    Row("x = %gpu y", "", "x"),
    Row("get_ipython().system('ls {d}')", "d"),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.cell for row in ROWS])
def test_row(row: Row) -> None:
    check(row)


@pytest.mark.parametrize("cell", ["df?", "df??", "?df", "%pinfo df", "%pdoc df", "x = 1\ndf.head?", "*int*?", "y = f?"])
def test_help_is_refused(cell: str) -> None:
    planned = plan(cell, {})
    assert not planned.reads
    assert len(planned.refusals) == 1
    assert "runs locally\nhint: " in planned.refusals[0]


@pytest.mark.parametrize("cell", ["Out[3]", "In[-1]", "_5", "_oh[1]", "_i3", "def f(): return Out", "x = _ih[0]"])
def test_history_is_refused(cell: str) -> None:
    planned = plan(cell, {"Out": {}, "In": [], "_5": 1})
    assert not planned.reads
    assert [line.partition("\n")[2] for line in planned.refusals] == ["hint: assign it to a name first"]


def test_a_history_name_that_the_cell_binds_is_an_ordinary_name() -> None:
    planned = plan("_1, _2 = f(); print(_1)", {})
    assert planned.binds == {"_1", "_2"} and not planned.refusals


DYNAMIC = [
    ("exec(code)", "-i NAME"),
    ("exec('y = x + print(1)')", "-i x"),
    ("eval('a + b')", "-i a,b"),
    ("eval('(')", "-i NAME"),
    ("globals()[k]", "-i NAME"),
    ("locals()", "-i NAME"),
    ("vars()['x']", "-i NAME"),
    ("df.query('a > @t and b < @s.x')", "-i s,t"),
    ("df.query(f'a > @t and {b}')", "-i t"),
    ("df.eval('c = a + @t')", "-i t"),
    ("pd.eval('a + b')", "-i a,b"),
    ("get_ipython().user_ns['x']", "-i NAME"),
    ("def f(): return globals()", "-i NAME"),
]


@pytest.mark.parametrize(("cell", "hint"), DYNAMIC)
def test_dynamic_access_names_the_flag(cell: str, hint: str) -> None:
    (warning,) = plan(cell, {}).warnings
    assert f"`{hint}`" in warning


@pytest.mark.parametrize(
    "cell",
    ["exec(code, {})", "vars(x)", "model.eval()", "df.query('a > 1')", "session.query(User)", "def f(): return locals()",
     "def eval(x): return x\neval(y)", "def f(exec): return exec(x)", "def f(): return '{a}'.format(**vars())"],
)  # fmt: skip
def test_ordinary_calls_do_not_warn(cell: str) -> None:
    assert plan(cell, {}).warnings == ()


@pytest.mark.parametrize(
    ("cell", "binds", "deletes"),
    [
        ("globals()['y'] = 1", {"y"}, set()),
        ("vars()['y'] = 1; y", {"y"}, set()),
        ("get_ipython().user_ns['y'] = 1", {"y"}, set()),
        ("del globals()['y']", set(), {"y"}),
        ("exec('import a; b = 1')", {"a", "b"}, set()),
    ],
)
def test_literal_dynamic_binds_are_planned(cell: str, binds: set[str], deletes: set[str]) -> None:
    planned = plan(cell, {})
    assert (planned.reads, planned.binds, planned.deletes) == (set(), binds, deletes)


ERRORS = [
    ("x = 1\ny = (", 2),
    ("x = 1\n\nx = = 2", 3),
    ("\n\nx = 1\n!ls\ny = = 1", 5),
    ("!ls \\\n  -l\n\ny = = 1", 4),
    ("%%time\nx = 1\ny = = 2", 3),
    ("\n%%time\n\ny = = 2", 4),
    ("%%capture out\n!ls\ny = = 2", 3),
    ("return 1", 1),
    ("x = 1\nbreak", 2),
    ("x = 1\nnonlocal x", 2),
    ("def f():\n    x = 1\n    global x", 3),
    ("if x:\npass", 2),
]


@pytest.mark.parametrize(("cell", "line"), ERRORS)
def test_a_syntax_error_has_the_cells_own_line(cell: str, line: int) -> None:
    with pytest.raises(SyntaxError) as error:
        plan(cell, {})
    assert error.value.lineno == line


def test_a_null_byte_is_a_syntax_error() -> None:
    with pytest.raises(SyntaxError):
        plan("x = '\0'", {})


def test_what_the_compiler_cannot_nest_is_a_syntax_error() -> None:
    with pytest.raises(SyntaxError):
        plan("-" * 100_000 + "x", {})


def test_warnings_of_the_compiler_stay_silent(recwarn: pytest.WarningsRecorder) -> None:
    plan("x = '\\d'; y is 1", {})
    assert not recwarn.list
