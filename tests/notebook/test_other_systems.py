"""A kernel where nothing of Linux can be had, and one where nothing of POSIX can, on a runtime reached by TCP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernels import LiveKernel, environment, kernel_of, stop_runtime
from tests.notebook.conftest import notices, value
from tests.structure import code

ELSEWHERE = Path(__file__).parents[1] / "elsewhere"


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A runtime on this system, and what a kernel elsewhere is told of it."""
    home = tmp_path_factory.mktemp("home")
    command = [sys.executable, "-m", "warmcell", "up", "--json"]
    done = subprocess.run(command, env=environment(home, WARMCELL_IMPORTS="json"), capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    yield {"WARMCELL_URL": told["http"], "WARMCELL_TOKEN": told["token"]}
    stop_runtime(home)


@pytest.fixture(scope="module", params=["win32", "darwin"])
def kernel(request: pytest.FixtureRequest, runtime: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKernel]:
    with kernel_of(tmp_path_factory.mktemp("other"), **pretending(request.param), **runtime) as live:
        yield live


def pretending(platform: str) -> dict[str, str]:
    paths = os.pathsep.join((str(ELSEWHERE), str(ELSEWHERE.parents[1])))
    return {"PRETEND_PLATFORM": platform, "PYTHONPATH": paths}


def test_the_kernel_has_none_of_it_and_is_on_another_machine(kernel: LiveKernel) -> None:
    kernel.run("import kernel_proxy.statedir as ours\nfrom remote_runtime.wire.versions import host_id")
    assert value(kernel, "[hasattr(ours.os, n) for n in ('memfd_create', 'pidfd_open')]") == [False, False]
    assert value(kernel, "ours.start_ticks(1)") is None
    platform = value(kernel, "ours.sys.platform")
    assert platform in ("win32", "darwin") and value(kernel, "host_id()").startswith(f"{platform}:")
    assert value(kernel, "hasattr(ours.os, 'getuid')") == (platform == "darwin")


def test_values_and_functions_travel_and_results_come_back(kernel: LiveKernel) -> None:
    kernel.run("import numpy as np\nxs = np.arange(1_000_000.0)\nscale = 2\ndef grow(v): return v * scale")
    shown = kernel.run("%%gpu cpu\nprint('far away')\nys = grow(xs)[:10]\nfloat(xs.sum())")
    assert (shown.text(), shown.result) == ("far away\n", "499999500000.0"), shown.traceback
    assert value(kernel, "ys[:3].tolist()") == [0.0, 2.0, 4.0]


def test_an_error_is_the_users_own(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu cpu\nprint('before')\n{}['key']")
    assert (shown.error["ename"], shown.text()) == ("KeyError", "before\n")
    assert "{}['key']" in shown.traceback


def test_a_handle_stays_there_and_is_fetched(kernel: LiveKernel) -> None:
    kernel.run("%%gpu cpu --keep big\nbig = bytearray(1 << 20)")
    assert kernel.run("%%gpu cpu\nlen(big)").result == "1048576"
    assert value(kernel, "len(big.get())") == 1 << 20


def test_an_interrupt_reaches_the_code(kernel: LiveKernel) -> None:
    request = kernel.start("%%gpu cpu\nprint('on', flush=True)\nwhile True: pass")
    while kernel.client.get_iopub_msg(timeout=30)["msg_type"] != "stream":
        pass
    kernel.manager.interrupt_kernel()
    assert kernel.finish(request).error["ename"] in ("Interrupted", "KeyboardInterrupt")
    assert kernel.run("%%gpu cpu\n40 + 2").result == "42"


def test_a_killed_user_process_is_told_and_replaced(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu cpu\nprint('before')\nimport os; os._exit(7)")
    assert shown.error["ename"] == "WorkerDied" and shown.text() == "before\n"
    assert kernel.run("%%gpu cpu\n1 + 1").result == "2"


def test_a_background_run_is_waited_for(kernel: LiveKernel) -> None:
    kernel.run("%%gpu cpu --bg=job\nimport time; time.sleep(0.2)\nlate = 6 * 7")
    assert kernel.run("job.result()").status == "ok"
    assert value(kernel, "late") == 42


def test_the_commands_and_the_doctor_answer(kernel: LiveKernel) -> None:
    assert "engine process" in kernel.run("%gpu").result
    assert "ok" in kernel.run("%gpu vars").status
    report = kernel.run("%gpu doctor").result
    assert ", 0 failed" in report and "a runtime on another machine needs no socket here" in report, report


KERNEL_SIDE = ("warmcell", "jupyter_ext", "kernel_proxy", "remote_runtime.wire")


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_every_module_of_the_kernels_side_is_imported_anywhere(platform: str) -> None:
    names = [n for n in code.sources() if n.startswith(KERNEL_SIDE) and not n.endswith("__main__")]
    assert len(names) > 50
    script = f"import importlib\nfor name in {names!r}: importlib.import_module(name)\nimport kernel_proxy.statedir as s; print(s.CAN_RUN)"
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **pretending(platform)}, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("False\n", "")


@pytest.mark.parametrize("words", [["up"], ["up", "--foreground"]], ids=" ".join)
@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_the_command_line_starts_no_runtime_elsewhere(platform: str, words: list[str], tmp_path: Path) -> None:
    told = environment(tmp_path / "none", **pretending(platform))
    done = subprocess.run([sys.executable, "-m", "warmcell", *words], env=told, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"warmcell: the embedded runtime needs Linux, and this is {platform}",
        "hint: give the address of a runtime: `warmcell login URL`, or set WARMCELL_URL and WARMCELL_TOKEN",
    ]


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_without_an_address_the_cell_says_what_is_needed(platform: str, tmp_path: Path) -> None:
    with kernel_of(tmp_path / "none", **pretending(platform)) as alone:
        shown = alone.run("%%gpu cpu\n1")
        assert f"the embedded runtime needs Linux, and this is {platform}" in shown.traceback
        assert shown.traceback.splitlines()[-1] == "hint: give the address of a runtime: `warmcell login URL`, or set WARMCELL_URL and WARMCELL_TOKEN"
        assert not notices(shown)
        assert "needs Linux" in alone.run("%gpu doctor").result
    assert not (tmp_path / "none").exists()
