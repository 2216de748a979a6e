"""The same notebook where workers are interpreters of their own: `WARMCELL_START=spawn`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernels import LiveKernel, live_kernel
from tests.notebook.conftest import code, value


@pytest.fixture(scope="module")
def spawned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKernel]:
    with live_kernel(tmp_path_factory.mktemp("home"), WARMCELL_START="spawn", WARMCELL_IMPORTS="fractions") as live:
        yield live


def test_values_travel_both_ways(spawned: LiveKernel) -> None:
    spawned.run("numbers = [1, 2, 3]\ndef double(n): return 2 * n")
    shown = spawned.run("%%gpu cpu\nprint('here')\ndoubled = [double(n) for n in numbers]\nsum(doubled)")
    assert (shown.text(), shown.result) == ("here\n", "12"), shown.traceback
    assert value(spawned, "doubled") == [2, 4, 6]


def test_what_is_imported_ahead_is_there(spawned: LiveKernel) -> None:
    assert spawned.run("%%gpu cpu\nimport sys\n'fractions' in sys.modules").result == "True"


def test_a_killed_user_process_is_replaced(spawned: LiveKernel) -> None:
    shown = spawned.run("%%gpu cpu\nprint('before')\nimport os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert shown.error["ename"] == "WorkerDied" and shown.text() == "before\n", shown.traceback
    assert spawned.run("%%gpu cpu\n40 + 2").result == "42"


def test_a_cell_may_fork(spawned: LiveKernel) -> None:
    cell = """
        %%gpu cpu
        import multiprocessing, os
        pid = os.fork()
        if pid == 0: os._exit(3)
        state = os.waitpid(pid, 0)[1]
        def square(i): return i * i
        with multiprocessing.get_context("fork").Pool(2) as pool: squares = pool.map(square, range(4))
    """
    shown = spawned.run(code(cell))
    assert shown.status == "ok", shown.traceback
    assert (value(spawned, "state >> 8"), value(spawned, "squares")) == (3, [0, 1, 4, 9])


def test_the_status_says_how_workers_start_and_why(spawned: LiveKernel) -> None:
    assert "workers start by spawn: the setting `start` is spawn" in spawned.run("%gpu").result
    assert "by spawn: the setting `start` is spawn" in spawned.run("%gpu doctor").result
