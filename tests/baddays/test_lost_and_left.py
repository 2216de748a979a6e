"""A session's memory that is lost, a worker that is replaced, a run that never began, a kernel that went in between."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.kernels import LiveKernel, Shown, kernel_of, live_kernel, play, stop_runtime
from tests.notebook.conftest import notices, receipt

SLEEPER = "%%gpu cpu --bg=night\nimport time, os\nwhile not os.path.exists({path!r}): time.sleep(0.01)"


def pid_there(kernel: LiveKernel) -> int:
    return int(play(kernel, "G import os; print(os.getpid())").text())


def says_what_is_sent(shown: Shown, *names: str) -> bool:
    told = " ".join(notices(shown))
    return all(f"`{name}`" in told for name in names) and "sent again" in told


def test_a_user_process_killed_between_cells(kernel: LiveKernel) -> None:
    play(kernel, "x = [1]; y = {'x': x}", "G y['x'].append(2)", "%%gpu cpu --keep h\nh = object()")
    os.kill(pid_there(kernel), signal.SIGKILL)
    shown = kernel.run("%%gpu cpu\ny['x'].append(3)")
    if shown.status != "ok":  # the kernel had not heard of the death yet: the run met it
        shown = kernel.run("%%gpu cpu\ny['x'].append(3)")
    assert says_what_is_sent(shown, "y"), notices(shown)
    assert receipt(shown)["sent"] == ["y"]
    assert play(kernel, "print(x, y)").text() == "[1, 2, 3] {'x': [1, 2, 3]}\n"
    assert "is gone" in kernel.run("h.get()").traceback


def test_a_session_that_was_stopped_and_opened_again(kernel: LiveKernel) -> None:
    play(kernel, "x = [1]", "G x.append(2)", "%gpu stop")
    shown = play(kernel, "G x.append(3)")
    assert receipt(shown)["sent"] == ["x"]
    assert play(kernel, "print(x)").text() == "[1, 2, 3]\n"


def test_a_whole_runtime_that_went_and_came_back(tmp_path: Path) -> None:
    with live_kernel(tmp_path) as kernel:
        play(kernel, "x = [1]", "G x.append(2)")
        stop_runtime(tmp_path)
        for _ in range(2):  # the first cell may be the one that learns of it
            shown = kernel.run("%%gpu cpu\nx.append(3)")
            if shown.status == "ok":
                break
        assert shown.status == "ok", shown.traceback
        assert play(kernel, "print(x)").text() == "[1, 2, 3]\n"


def test_a_run_that_was_withdrawn_from_the_queue_sent_nothing(kernel: LiveKernel, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    play(kernel, "x = [1]", "G x.append(2)", SLEEPER.format(path=str(gate)), "x.append(3)")
    request = kernel.start("%%gpu cpu\nx.append('never')")
    shows_sending(kernel)
    kernel.manager.interrupt_kernel()
    assert kernel.finish(request).status == "error"
    gate.touch()
    play(kernel, "%gpu wait night")
    shown = play(kernel, "G x.append(4)")
    assert not any("lost" in told for told in notices(shown)), notices(shown)
    assert play(kernel, "print(x)").text() == "[1, 2, 3, 4]\n"


def shows_sending(kernel: LiveKernel) -> None:
    while "sending" not in str(kernel.client.get_iopub_msg(timeout=30)["content"].get("data", "")):
        pass


def test_a_background_run_cancelled_in_the_queue_keeps_nothing_from_the_next(kernel: LiveKernel, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    play(kernel, "x = [1]", "G x.append(2)", SLEEPER.format(path=str(gate)), "x.append(3)")
    play(kernel, "%%gpu cpu --bg=never\nx.append('never')", "x.append(4)", "never.cancel()")
    gate.touch()
    play(kernel, "%gpu wait night", "G x.append(5)")
    assert kernel.run("never.result()").status == "error"
    play(kernel, "x.append(6)", "G x.append(7)")
    assert play(kernel, "print(x)").text() == "[1, 2, 3, 4, 5, 6, 7]\n"


@pytest.mark.parametrize("stage", ["unpacking", "packing"])
def test_a_press_while_values_travel_leaves_both_ends_whole(kernel: LiveKernel, stage: str) -> None:
    hang = "import time\n        for _ in range(6000): time.sleep(0.01)"
    play(kernel, f"class Slow:\n    def __getstate__(self):\n        return 1\n    def __setstate__(self, s):\n        print('here', flush=True)\n        {hang}")
    play(kernel, "x = [1]", "G x.append(2)")
    if stage == "unpacking":
        play(kernel, "y = Slow(); x.append(3)")
        request = kernel.start("%%gpu cpu\nx.append('never'); y")
    else:
        request = kernel.start("%%gpu cpu\nx.append(3)\nclass Slower:\n    def __reduce__(self):\n        print('here', flush=True)\n        import time\n        while True: time.sleep(0.01)\ny = Slower()")
    while kernel.client.get_iopub_msg(timeout=30)["content"].get("text") != "here\n":
        pass
    kernel.manager.interrupt_kernel()
    assert kernel.finish(request).error["ename"] == "KeyboardInterrupt"
    shown = play(kernel, "y = None", "G x.append(4)", "print(x)")
    assert shown.text() == "[1, 2, 3, 4]\n"


def test_a_press_while_names_are_bound_waits_until_they_are(kernel: LiveKernel, tmp_path: Path) -> None:
    here, gate = tmp_path / "here", tmp_path / "gate"
    wait = f"import os, time\n        open({str(here)!r}, 'w').close()\n        while not os.path.exists({str(gate)!r}): time.sleep(0.01)"
    play(kernel, f"class Slow:\n    def __getstate__(self):\n        return 1\n    def __setstate__(self, s):\n        {wait}")
    play(kernel, "x = {'k': 1}; held = [x]", "G len(x)")
    request = kernel.start("%%gpu cpu\nx['k'] = 2\ny = Slow()")
    while not here.exists():
        time.sleep(0.01)
    kernel.manager.interrupt_kernel()
    gate.touch()
    assert kernel.finish(request).error["ename"] == "KeyboardInterrupt"
    assert play(kernel, "print(held, type(y).__name__)").text() == "[{'k': 2}] Slow\n"
    shown = play(kernel, "y = None", "G x['k'] += 1")
    assert notices(shown) == [] and play(kernel, "print(held)").text() == "[{'k': 3}]\n"


def test_a_kernel_killed_before_its_names_came_back(tmp_path: Path) -> None:
    """Another kernel of the notebook finds what the first one's run made of them, and takes it over."""
    with live_kernel(tmp_path, JPY_SESSION_NAME="one.ipynb", WARMCELL_SESSION="team") as first:
        play(first, "x = [1]", "G x")
        gate = tmp_path / "gate"
        first.start(f"%%gpu cpu\nimport time, os\nx.append(2); print('did', flush=True)\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)\ny = 5")
        while first.client.get_iopub_msg(timeout=60)["content"].get("text") != "did\n":
            pass
        os.kill(first.manager.provisioner.pid, signal.SIGKILL)
        gate.touch()
        with kernel_of(tmp_path, JPY_SESSION_NAME="one.ipynb", WARMCELL_SESSION="team") as second:
            assert play(second, "G print(x, y)").text() == "[1, 2] 5\n"
            play(second, "%gpu get x", "x.append(3)")
            assert play(second, "G print(x, y)").text() == "[1, 2, 3] 5\n"
