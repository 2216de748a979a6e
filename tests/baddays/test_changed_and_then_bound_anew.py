"""What a cell changes in place before it binds the name anew is changed here, too, whatever its size; and it can be freed."""

from __future__ import annotations

import pytest

from tests.kernels import LiveKernel, play

LARGE = "import numpy as np\nx = np.zeros(400_000)"


@pytest.mark.parametrize("alias", ["held = [x]", "held = [x[:]]", "held = [x.reshape(2, -1)[0]]", "held = {'a': x}['a'],"])
@pytest.mark.parametrize("before", [(), ("G x.sum()",)], ids=["first", "again"])
def test_another_name_sees_the_change_of_a_large_array(kernel: LiveKernel, alias: str, before: tuple[str, ...]) -> None:
    play(kernel, LARGE, alias, *before, "G x += 1\nx = x * 2")
    assert play(kernel, "print(held[0][0], x[0])").text() == "1.0 2.0\n"


def test_a_part_of_an_instance_that_another_name_holds_is_changed(kernel: LiveKernel) -> None:
    play(kernel, f"class Model: pass\n{LARGE}\nmodel = Model(); model.weights = x", "G model", "G model.weights += 1\nmodel = 5")
    assert play(kernel, "print(x[0], model)").text() == "1.0 5\n"


def test_what_nothing_else_holds_here_is_freed_within_the_cell(kernel: LiveKernel) -> None:
    play(kernel, LARGE, "G x.sum()")
    shown = play(kernel, "G import weakref\nalive = weakref.ref(x)\nx += 1\nx = None\nprint(alive() is None)")
    assert shown.text() == "True\n"
