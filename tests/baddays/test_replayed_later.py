"""A run that is attached to again, later or by another notebook, binds copies: nothing here is taken back to what it was."""

from __future__ import annotations

from pathlib import Path

from tests.kernels import LiveKernel, live_kernel, play
from tests.notebook.conftest import kernel_in, receipt


def test_an_earlier_run_of_this_kernel_leaves_names_as_they_are_now(kernel: LiveKernel) -> None:
    play(kernel, "x = [0]; held = x")
    first = receipt(play(kernel, "G x.append(1)\ny = [x]"))["run_id"]
    play(kernel, "G x.append(2)", f"%gpu attach {first}", "held.append(3)")
    assert play(kernel, "print(held)").text() == "[0, 1, 2, 3]\n"
    play(kernel, "%%gpu cpu --bg=job\nz = 5", "job.result()")
    assert play(kernel, "print(z)").text() == "5\n"


def test_a_run_of_another_notebook_changes_no_object_of_this_one(tmp_path: Path) -> None:
    shared = {"WARMCELL_SESSION": "team"}
    with live_kernel(tmp_path, JPY_SESSION_NAME="one.ipynb", **shared) as one, kernel_in(tmp_path, JPY_SESSION_NAME="two.ipynb", **shared) as two:
        play(one, "a = [1]; b = [a]", "G print(a, b)")
        play(two, "c = ['c']; d = [c]", "G print(c, d)")
        run_id = receipt(play(one, "G a.append(2); b.append(3)"))["run_id"]
        play(two, f"%gpu attach {run_id}")
        assert play(two, "print(c, d)").text() == "['c'] [['c']]\n"
        assert play(two, "G print(c, d, a)").text() == "['c'] [['c']] [1, 2]\n"


def test_what_refers_to_values_of_then_is_taken_as_it_is_now(kernel: LiveKernel) -> None:
    play(kernel, "a = [1]", "G a.append(2)")
    run_id = receipt(play(kernel, "G b = [a]; c = [7]"))["run_id"]
    play(kernel, "G a.append(3)", "b = c = None", f"%gpu attach {run_id}")
    assert play(kernel, "print(b, c, a)").text() == "[[1, 2, 3]] [7] [1, 2, 3]\n"
