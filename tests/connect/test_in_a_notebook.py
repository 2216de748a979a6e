"""`%gpu connect` in a real kernel, and what the kernels that follow find."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel_proxy import statedir
from tests.connect import sshd
from tests.connect.sshd import Account
from tests.connect.terminal import terminal
from tests.kernels import LiveKernel, environment, kernel_of, stop_runtime
from tests.notebook.conftest import receipt, users, value


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("home")
    yield directory
    sshd.hang_up(directory)
    stop_runtime(directory)


@pytest.fixture
def kernel(home: Path, gpu01: Account) -> Iterator[LiveKernel]:
    with kernel_of(home, WARMCELL_SSH=gpu01.ssh, WARMCELL_IMPORTS="json") as live:
        yield live
    (home / "connection.toml").unlink(missing_ok=True)


def rows(kernel: LiveKernel, line: str) -> dict[str, str]:
    """The pairs of a report."""
    return dict(value(kernel, f"get_ipython().run_line_magic('gpu', {line!r}).rows"))


def warmcell(home: Path, gpu01: Account, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "warmcell", *words]
    return subprocess.run(command, env=environment(home, WARMCELL_SSH=gpu01.ssh), capture_output=True, text=True, check=False)


def test_to_a_host_and_back(kernel: LiveKernel, home: Path, gpu01: Account) -> None:
    kernel.run("%%gpu cpu\nhere = 1")
    shown = kernel.run("%gpu connect ssh://gpu01")
    assert "the cells that follow run on" in shown.result and "left at this machine's own runtime" in shown.result
    kernel.run("there = 2")
    assert kernel.run("%%gpu cpu\nimport os\nprint(os.environ['HOME'], there)").text() == f"{gpu01.home} 2\n"
    assert rows(kernel, "connect")["runtime"] == "ssh://gpu01"
    assert "connected through ssh://gpu01" in kernel.run("%gpu").result
    kernel.run("%gpu stop")
    kernel.run("%gpu connect local")
    assert rows(kernel, "connect") == {"runtime": "this machine's own runtime", "state": "not connected yet: the first cell does it"}
    assert kernel.run("%%gpu cpu\nimport os\nprint(os.environ['HOME'] == '" + str(gpu01.home) + "', here)").text() == "False 1\n"
    assert not (home / "connection.toml").exists()


def test_the_next_kernel_goes_there_by_itself(kernel: LiveKernel, home: Path, gpu01: Account) -> None:
    kernel.run("%gpu connect ssh://gpu01")
    assert (home / "connection.toml").stat().st_mode & 0o777 == 0o600
    with kernel_of(home, WARMCELL_SSH=gpu01.ssh) as following:
        assert rows(following, "connect")["runtime"] == "ssh://gpu01"
        assert following.run("%%gpu cpu\nimport os\nprint(os.environ['HOME'])").text() == f"{gpu01.home}\n"
        following.run("%gpu stop")


def test_a_place_out_of_reach_changes_nothing(kernel: LiveKernel, home: Path) -> None:
    shown = kernel.run("%gpu connect ssh://nobody@gpu01")
    assert "gpu01 does not let nobody in" in shown.traceback and "hint: add your key" in shown.traceback
    assert rows(kernel, "connect")["runtime"] == "this machine's own runtime"
    assert not (home / "connection.toml").exists()
    assert "`gpu01` is no place to connect to" in kernel.run("%gpu connect gpu01").traceback


def test_a_run_in_the_background_is_not_left_in_silence(kernel: LiveKernel) -> None:
    kernel.run("%%gpu cpu --bg=long\nimport time\nwhile True: time.sleep(0.01)")
    assert "long runs in the background" in kernel.run("%gpu connect ssh://gpu01").traceback
    kernel.run("%gpu cancel long\n")
    kernel.run("try: long.result()\nexcept Exception: pass")
    kernel.run("%gpu stop")


def test_a_cell_goes_on_though_the_link_is_cut(kernel: LiveKernel, home: Path, gpu01: Account) -> None:
    kernel.run("%gpu connect ssh://gpu01")
    cell = "%%gpu cpu\nimport time, pathlib, os\nfor i in range(150):\n    print(i, flush=True)\n    time.sleep(0.01)\n"
    cell += "    if i == 20: pathlib.Path(os.environ['HOME'], 'twenty').touch()\ntotal = i"
    kernel.run("%%gpu cpu\n1")
    request = kernel.start(cell)
    sshd.until((gpu01.home / "twenty").exists)
    sshd.cut(home)
    shown = kernel.finish(request)
    assert [o["text"] for o in users(shown)] == ["".join(f"{i}\n" for i in range(150))]
    assert receipt(shown) and value(kernel, "total") == 149
    kernel.run("%gpu stop")


def test_the_command_line_connects_too(home: Path, gpu01: Account) -> None:
    done = warmcell(home, gpu01, "connect", "ssh://gpu01")
    assert (done.returncode, done.stdout.startswith("cells run on ssh://gpu01: Python 3.")) == (0, True), done.stderr
    assert done.stderr.splitlines()[:2] == ["connecting to gpu01 …", "looking for the runtime on gpu01 …"]
    assert json.loads(warmcell(home, gpu01, "connect", "--json").stdout) == {"url": "ssh://gpu01"}
    assert json.loads(warmcell(home, gpu01, "status", "--json").stdout)["pid"] == statedir.find(gpu01.state).pid
    assert warmcell(home, gpu01, "connect", "local").stdout == "cells run on this machine's own runtime\n"
    assert json.loads(warmcell(home, gpu01, "connect", "--json").stdout) == {"url": ""}


def test_the_command_line_says_why_not(home: Path, gpu01: Account) -> None:
    done = warmcell(home, gpu01, "connect", "ssh://nobody@gpu01", "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[0].startswith("warmcell: gpu01 does not let nobody in")
    assert warmcell(home, gpu01, "connect", "gpu01").stderr.count("\n") == 2


@pytest.mark.parametrize(("answer", "code"), [("yes", 0), ("no", 1)])
def test_an_unknown_host_key_is_asked_for_at_a_terminal(
    answer: str, code: int, home: Path, gpu01: Account, place: Path, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    text = (place / "config").read_text().replace(str(place / "known_hosts"), str(tmp_path / "known"))
    config.write_text(text.replace("StrictHostKeyChecking yes", "StrictHostKeyChecking ask"))
    command = [sys.executable, "-m", "warmcell", "connect", "ssh://gpu01"]
    with terminal(command, environment(home, WARMCELL_SSH=f"ssh -F {config}")) as seat:
        seat.until("fingerprint is")
        seat.type(answer)
        seat.until("nothing more")
        assert seat.process.wait(30) == code, seat.shown
    told = "cells run on ssh://gpu01" if answer == "yes" else "the host key of gpu01 is not known on this machine"
    assert told in seat.shown and (tmp_path / "known").exists() == (answer == "yes")
    (home / "connection.toml").unlink(missing_ok=True)
