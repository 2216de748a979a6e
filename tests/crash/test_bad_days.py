"""Bad days, end to end in a real kernel: one clear end, nothing lost that was promised, and the next cell works."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernels import LiveKernel, environment, live_kernel, stop_runtime

MEMORY_LIMIT_BYTES = 700 << 20


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A runtime whose workers may take 700 MiB."""
    home = tmp_path_factory.mktemp("home")
    sockets = tmp_path_factory.mktemp("s")
    readable, writable = os.pipe()
    command = [
        sys.executable, "-m", "remote_runtime.gateway", "--state", str(home), "--runtime-dir", str(sockets),
        "--memory-limit-bytes", str(MEMORY_LIMIT_BYTES), "--ready-fd", str(writable),
    ]  # fmt: skip
    with open(home / "gateway.log", "ab") as log:
        gateway = subprocess.Popen(command, pass_fds=[writable], stdout=log, stderr=log, env=environment(home))
    os.close(writable)
    with open(readable) as ready:
        assert json.loads(ready.readline())["grpc"]
    yield home
    stop_runtime(home)
    gateway.wait(10)


@pytest.fixture(scope="module")
def kernel(home: Path) -> Iterator[LiveKernel]:
    with live_kernel(home) as live:
        live.run("import os, signal")
        yield live


def works(kernel: LiveKernel) -> bool:
    return kernel.run("%%gpu cpu\n40 + 2").result == "42"


def test_a_cell_that_prints_a_gigabyte_is_cut_and_says_so(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu cpu\nline = 'x' * 1023\nfor _ in range(1 << 20): print(line)\ndone = True", timeout_s=110)
    notices = " ".join(o["data"]["text/plain"] for o in shown.outputs if "data" in o)
    assert shown.status == "ok"
    assert "cut" in notices
    assert 1 << 20 < len(shown.text()) < 1 << 28
    assert kernel.run("done").result == "True"


def test_a_cell_that_allocates_until_killed_names_the_limit(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu cpu\nprint('before')\nhoard = []\nwhile True: hoard.append(bytearray(b'x') * (8 << 20))")
    assert shown.error["ename"] == "OutOfMemory", shown.traceback
    assert "700" in shown.error["evalue"]
    assert shown.text() == "before\n"
    assert works(kernel)


def test_spinning_c_code_is_interrupted_and_killed(kernel: LiveKernel) -> None:
    cell = "%%gpu cpu\nimport subprocess\nsubprocess.Popen(['sh', '-c', 'sleep 0.3; echo spinning'])\nsum(range(10**13))"
    request = kernel.start(cell)
    while kernel.client.get_iopub_msg(timeout=30)["msg_type"] != "stream":
        pass
    kernel.manager.interrupt_kernel()
    shown = kernel.finish(request)
    assert shown.error["ename"] in ("Interrupted", "KeyboardInterrupt"), shown.traceback
    assert "killed" in shown.traceback
    assert works(kernel)


def test_a_closed_stdout_is_open_again_in_the_next_cell(kernel: LiveKernel) -> None:
    kernel.run("%%gpu cpu\nimport sys, os\nsys.stdout.close()\nos.close(1)")
    assert kernel.run("%%gpu cpu\nprint('again')").text() == "again\n"


def test_forked_children_neither_end_nor_double_the_run(kernel: LiveKernel) -> None:
    cell = "%%gpu cpu\nimport os\npids = [os.fork() for _ in range(2)]\nif 0 not in pids:\n    for p in pids: os.waitpid(p, 0)\nprint('once' if 0 not in pids else '', end='')"
    shown = kernel.run(cell)
    assert shown.status == "ok", shown.traceback
    assert shown.text().count("once") == 1
    assert works(kernel)


def test_a_gateway_killed_under_a_run_is_not_noticed_and_comes_back(kernel: LiveKernel, home: Path) -> None:
    kernel.run("%%gpu cpu\nkept = 'still here'")
    pid = json.loads((home / "gateway.json").read_text())["pid"]
    cell = f"%%gpu cpu\nimport os, time\nprint('go', flush=True)\nwhile not os.path.exists({str(home / 'dead')!r}): time.sleep(0.01)\nprint('done')"
    request = kernel.start(cell)
    while kernel.client.get_iopub_msg(timeout=30)["msg_type"] != "stream":
        pass
    os.kill(pid, signal.SIGKILL)
    (home / "dead").touch()
    shown = kernel.finish(request)
    assert shown.status == "ok", shown.traceback
    assert shown.text() == "done\n"
    assert kernel.run("%%gpu cpu\nkept").result == "'still here'"
    kernel.run("%gpu use cpu --session another")
    assert works(kernel)
    kernel.run("%gpu use cpu --session team")
    assert kernel.run("%gpu").result.count("session ") == 2


def test_two_notebooks_share_a_session(kernel: LiveKernel, home: Path) -> None:
    kernel.run("%gpu use cpu --session team")
    kernel.run("%%gpu --keep shared\nshared = {'from': 'one'}")
    with live_kernel(home) as other:
        other.run("%gpu use cpu --session team")
        assert other.run("%%gpu\nshared['from']").result == "'one'"
