"""Sequences of cells here and there, as people write them: who has the newer value, and what happens when both have."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernels import LiveKernel, live_kernel, play
from tests.notebook.conftest import kernel_in, receipt


@pytest.fixture(scope="module")
def _kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKernel]:
    with live_kernel(tmp_path_factory.mktemp("home")) as kernel:
        yield kernel


@pytest.fixture
def kernel(_kernel: LiveKernel) -> LiveKernel:
    _kernel.run("%gpu stop")
    _kernel.run("%reset -f")
    return _kernel


def refused(kernel: LiveKernel, source: str) -> str:
    shown = kernel.run(f"%%gpu cpu\n{source}")
    assert shown.error["ename"] == "DivergedError", shown.traceback
    return shown.error["evalue"]


def test_a_value_that_functions_use_is_seen_anew(kernel: LiveKernel) -> None:
    play(kernel, "cfg = {'lr': 1}\ndef f(): return cfg", "G print(f())", "cfg = {'lr': 2}")
    assert play(kernel, "G print(f())").text() == "{'lr': 2}\n"


def test_a_model_that_stays_there_is_one_object(kernel: LiveKernel) -> None:
    make = "class Model:\n    fits = 0\n    def fit(self): self.fits += 1; return self.fits"
    play(kernel, make)
    shown = kernel.run("%%gpu cpu --keep m\nm = Model(); made = id(m)")
    assert receipt(shown)["kept"]
    assert play(kernel, "G print(m.fit(), m.fit(), id(m) == made)").text() == "1 2 True\n"


def test_a_list_made_there_and_changed_there_is_changed_here(kernel: LiveKernel) -> None:
    play(kernel, "G y = [1]", "mine = y", "G y.append(2)")
    assert play(kernel, "print(y, mine is y)").text() == "[1, 2] True\n"


def test_changes_in_turn_are_never_a_conflict(kernel: LiveKernel) -> None:
    play(kernel, "x = [0]", "G x.append(1)", "x.append(2)", "G x.append(3)", "x.append(4)")
    assert play(kernel, "G print(x)").text() == "[0, 1, 2, 3, 4]\n"


@pytest.mark.parametrize("quietly", ["--no-out", "--bg"])
def test_both_changed_names_both_ways_out(kernel: LiveKernel, quietly: str) -> None:
    play(kernel, "y = [1]", "G y", f"%%gpu cpu {quietly}\ny.append(2)", "G 0", "y.append(3)")
    said = refused(kernel, "print(y)")
    assert "`y` was changed here and in the session" in said and "`-i y`" in said and "`%gpu get y`" in said
    assert kernel.run("%%gpu cpu -i y\nprint(y)").text() == "[1, 3]\n"


def test_theirs_is_taken_by_get(kernel: LiveKernel) -> None:
    play(kernel, "y = [1]", "G y", "%%gpu cpu --no-out\ny.append(2)", "y.append(3)")
    refused(kernel, "print(y)")
    play(kernel, "%gpu get y", "y.append(4)")
    assert play(kernel, "G print(y)").text() == "[1, 2, 4]\n"


def test_what_changed_there_alone_is_used_and_comes_back(kernel: LiveKernel) -> None:
    play(kernel, "y = [1]; held = y", "G y", "%%gpu cpu --no-out\ny.append(2)")
    assert play(kernel, "print(y)").text() == "[1]\n"
    assert play(kernel, "G print(y)").text() == "[1, 2]\n"
    assert play(kernel, "print(y, held is y)").text() == "[1, 2] True\n"


def test_vars_say_where_a_name_is_newer(kernel: LiveKernel) -> None:
    play(kernel, "a, b, c, d = [1], [1], [1], [1]", "G (a, b, c, d)")
    play(kernel, "%%gpu cpu --no-out\nb.append(2); d.append(2)", "c.append(3); d.append(3)", "%%gpu cpu --keep e\ne = 1")
    rows = {row.split()[0]: row.split() for row in kernel.run("%gpu vars").result.splitlines()[2:]}
    found = {name: next(word for word in row if word in ("same", "here", "there", "both")) for name, row in rows.items()}
    assert found == {"a": "same", "b": "there", "c": "here", "d": "both", "e": "there"}


def test_fresh_sends_everything_once_more(kernel: LiveKernel) -> None:
    play(kernel, "x = [1]", "G x")
    assert receipt(play(kernel, "G x"))["reused"] == ["x"]
    shown = kernel.run("%%gpu cpu --fresh\nx")
    assert receipt(shown)["sent"] == ["x"] and receipt(play(kernel, "G x"))["reused"] == ["x"]


def test_a_name_deleted_here_is_gone_there(kernel: LiveKernel) -> None:
    play(kernel, "x = 1", "G x", "del x")
    assert kernel.run("%%gpu cpu\nprint(x)").error["ename"] == "NameError"


def test_two_names_of_one_object_part_and_join(kernel: LiveKernel) -> None:
    play(kernel, "a = [1]; b = a", "G print(a is b)", "b = [1]")
    assert play(kernel, "G print(a is b)").text() == "False\n"
    play(kernel, "G b = a")
    assert play(kernel, "print(a is b)").text() == "True\n"


def test_a_kernel_started_again_replaces_what_it_defines_and_finds_the_rest(tmp_path: Path) -> None:
    with live_kernel(tmp_path) as first:
        play(first, "%%gpu cpu --keep m\nm = [7]", "x = [1]", "G x.append(2)")
        first.manager.restart_kernel(now=True)
        first.client.wait_for_ready(timeout=60)
        play(first, "%load_ext warmcell", "x = ['new']")
        assert play(first, "G print(m, x)").text() == "[7] ['new']\n"


def test_two_notebooks_on_one_session_do_not_overwrite_each_other(tmp_path: Path) -> None:
    with live_kernel(tmp_path, JPY_SESSION_NAME="one.ipynb") as one, kernel_in(tmp_path, JPY_SESSION_NAME="two.ipynb") as two:
        for kernel in (one, two):
            kernel.run("%gpu use cpu --session shared")
        play(one, "x = [1]\nonly_one = 1", "G (x, only_one)")
        assert two.run("%%gpu cpu\nprint(only_one)").text() == "1\n"
        two.run("x = [2]")
        assert "notebook one.ipynb" in refused(two, "print(x)")
        play(two, "%%gpu cpu -i x\nx.append(3)")
        assert play(one, "G print(x)").text() == "[2, 3]\n"
        assert play(one, "print(x)").text() == "[2, 3]\n"


def test_a_lost_memory_says_what_is_sent_again_and_sends_it(kernel: LiveKernel) -> None:
    play(kernel, "x = [1]", "G x")
    assert kernel.run("%%gpu cpu\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)").error["ename"] == "WorkerDied"
    shown = play(kernel, "G print(x)")
    told = [o["data"]["text/plain"] for o in shown.outputs if o["type"] == "display_data"]
    assert shown.text() == "[1]\n" and any("`x` are sent again" in line for line in told)


def test_a_kernel_killed_before_its_names_came_back_finds_them_there(tmp_path: Path) -> None:
    with live_kernel(tmp_path) as first:
        play(first, "x = [1]", "G x")
        first.start("%%gpu cpu\nimport time\nx.append(2)\nprint('did', flush=True)\ntime.sleep(1)\ny = 5")
        while first.client.get_iopub_msg(timeout=60)["content"].get("text") != "did\n":
            pass
        os.kill(first.manager.provisioner.pid, signal.SIGKILL)
        first.manager.restart_kernel(now=True)
        first.client.wait_for_ready(timeout=60)
        play(first, "%load_ext warmcell")
        assert play(first, "G print(x, y)").text() == "[1, 2] 5\n"


def test_a_value_changed_here_by_a_thread_while_the_cell_runs_is_not_overwritten(kernel: LiveKernel) -> None:
    play(kernel, "import threading\nx = [1]", "G x")
    play(kernel, "t = threading.Timer(0.3, lambda: x.append('mine')); t.start()")
    shown = play(kernel, "G import time; x.append('theirs'); time.sleep(1)")
    told = [o["data"]["text/plain"] for o in shown.outputs if "display" in o["type"]]
    assert any("`x` changed in the session and not here" in line for line in told)
    assert play(kernel, "print(x)").text() == "[1, 'mine']\n"
    refused(kernel, "print(x)")


def test_a_value_that_becomes_unpicklable_there_stays_newer_there(kernel: LiveKernel) -> None:
    play(kernel, "x = [1]", "G x")
    shown = play(kernel, "G import threading; x.append(threading.Lock())")
    told = [o["data"]["text/plain"] for o in shown.outputs if "display" in o["type"]]
    assert any("`x` changed in the session and not here" in line for line in told), told
    assert play(kernel, "G print(len(x))").text() == "2\n"
