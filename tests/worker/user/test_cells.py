"""Cells as a notebook runs them: magics, await, figures, results."""

from __future__ import annotations

import pytest

RESULTS = [
    ("1 + 1", [{"text/plain": "2"}], 2),
    ("1 + 1;", [], None),
    ("1 + 1;  # quiet", [], None),
    ("x = 1", [], None),
    ("None", [], None),
    ("'a;'", [{"text/plain": "'a;'"}], "a;"),
    ("import asyncio\nawait asyncio.sleep(0, 'awaited')", [{"text/plain": "'awaited'"}], "awaited"),
    ("%%time\n1 + 1", [{"text/plain": "2"}], 2),
    ("%time 1 + 1", [{"text/plain": "2"}], 2),
    ("{'k': [1] * 3}", [{"text/plain": "{'k': [1, 1, 1]}"}], {"k": [1, 1, 1]}),
]


@pytest.mark.parametrize(("source", "shown", "value"), RESULTS, ids=[row[0] for row in RESULTS])
def test_the_last_expression_shows_and_comes_back(user, source, shown, value):
    done = user.run(f"#%%gpu\n{source}")
    assert done.shown == shown
    assert done.values.get("_") == value and done.end.result_name == ("_" if value is not None else "")


def test_an_expression_comes_back_without_being_shown(user):
    done = user.run("\n\n{'a': 1}['a']", expression=True)
    assert done.shown == [] and done.values == {"_": 1}


def test_underscore_is_the_last_value(user):
    user.run("#\n40 + 2")
    assert user.run("y = _ + 1").values == {"y": 43}


MAGICS = [
    ("%%time\nx = 1", "x", 1),
    ("!echo from the shell", None, None),
    ("files = !echo one", "files", ["one"]),
    ("%%capture got\nprint('inside')", None, None),
    ("%env WARMCELL_TEST=5\nimport os\nv = os.environ['WARMCELL_TEST']", "v", "5"),
    ("where = %pwd", None, None),
    ("%%bash\necho from bash", None, None),
    ("x = 3\n%timeit -n1 -r1 x", "x", 3),
    ("%%writefile f.txt\nhello", None, None),
    ("%matplotlib inline", None, None),
]


@pytest.mark.parametrize(("source", "name", "value"), MAGICS, ids=[row[0].split("\n")[0] for row in MAGICS])
def test_lines_of_ipython_run_in_the_worker(user, source, name, value):
    done = user.run(f"#%%gpu\n{source}")
    assert done.end.status == "ok", done.traceback
    if name is not None:
        assert done.values[name] == value


def test_a_line_of_the_shell_prints_in_place(user):
    done = user.run("#\nprint('a')\n!echo b\nprint('c')")
    assert done.out.replace("\r", "") == "a\nb\nc\n"


def test_help_is_shown(user):
    assert "Docstring" in user.run("#\nlen?").shown[0]["text/plain"]


def test_an_unknown_magic_is_the_cells_error(user):
    done = user.run("#\n%nosuchthing")
    assert done.end.status == "error" and done.end.problem.type_name == "UsageError"
    assert done.traceback == "UsageError: Line magic function `%nosuchthing` not found."


def test_tasks_go_on_while_later_cells_wait_and_between_cells(user):
    user.run(
        "#\nimport asyncio\nsteps = []\nasync def tick():\n    while True:\n        steps.append(1)\n        await asyncio.sleep(0.001)\n"
        "task = asyncio.create_task(tick())"
    )
    first = user.run("#\nimport asyncio\nasync def more(n):\n    while len(steps) < n: await asyncio.sleep(0.001)\nawait more(3)\nn = len(steps)").values["n"]
    user.run("#\nimport time")
    assert first >= 3 and user.run("await more(n + 5)\ntask.cancel()\nm = len(steps)").values["m"] >= first + 5


def test_a_cell_without_await_sees_the_running_loop_as_in_a_kernel(user):
    done = user.run("#\nimport asyncio\nrunning = asyncio.get_running_loop().is_running()\nasyncio.run(asyncio.sleep(0))")
    assert done.values["running"] is True
    assert "cannot be called from a running event loop" in done.end.problem.message


def test_stopping_the_loop_does_not_stop_the_session(user):
    user.run("#\nimport asyncio\nasyncio.get_running_loop().stop()")
    assert user.run("1").end.status == "ok"


def test_figures_come_at_the_end_of_the_cell_in_order_and_once(user):
    done = user.run("#\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.figure(); plt.plot([2, 1])\nprint('before them');")
    assert done.kinds == ["started", "stream", "display", "display", "end"]
    assert all(shown["image/png"].startswith("iVBOR") for shown in done.shown)
    assert user.run("#\nn = len(plt.get_fignums())").values["n"] == 0


def test_matplotlib_is_not_imported_for_those_who_do_not_use_it(fresh):
    done = fresh.run("#\nimport sys\nloaded = [m for m in ('matplotlib', 'numpy', 'torch', 'pandas', 'ipykernel') if m in sys.modules]")
    assert done.values["loaded"] == []


def test_rich_output_takes_the_notebooks_form(user):
    done = user.run("#\nfrom rich import print as shout\nshout('[bold]hi[/bold]')")
    assert "text/html" in done.shown[0]


@pytest.mark.parametrize("leave", ["exit", "quit()", "import sys; sys.exit(3)", "raise SystemExit('bye')"])
def test_a_cell_that_exits_ends_in_an_error_and_the_session_lives(user, leave):
    done = user.run(f"#\nkept = 1\n{leave}" if leave != "exit" else "#\nexit")
    assert (done.end.status, done.end.problem.type_name) == ("error", "SystemExit")
    assert "the cell asked to exit" in done.end.problem.message and "session lives" in done.end.problem.hint
    assert user.run("1").end.status == "ok"


def test_the_namespace_is_main(user):
    done = user.run("#\nimport __main__, pickle\nclass A: pass\nok = __main__.A is A and __name__ == '__main__'\nback = type(pickle.loads(pickle.dumps(A()))) is A")
    assert done.values["ok"] and done.values["back"]


def test_the_session_directory_is_where_files_and_modules_are(user):
    user.run("%%writefile helper_module.py\nvalue = 7")
    done = user.run("#\nimport os, sys\nimport helper_module\nfound = helper_module.value\nfirst = sys.path[0]\nwhere = os.getcwd()\ndel helper_module")
    assert done.values["found"] == 7 and done.values["first"] == "" and "session" in done.values["where"]


def test_the_shell_says_the_notebooks_count(user):
    assert user.run("n = get_ipython().execution_count", count=17).values["n"] == 17


def test_no_history_is_kept_on_disk(user):
    done = user.run("#\nh = get_ipython().history_manager\nstate = (h.enabled, type(h.db).__name__, get_ipython().colors)")
    assert done.values["state"] == (False, "DummyDB", "nocolor")


def test_empty_cells_end_well(user):
    assert [user.run(source).end.status for source in ("", "#", "\n\n", "#%%gpu\n\n")] == ["ok"] * 4
