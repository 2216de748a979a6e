"""What becomes of runs, sessions and containers when something outside of them goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers import engine
from tests.containers.conftest import container_of, remote, settings
from tests.kernels import LiveKernel, kernel_of, stop_runtime

PID_FILE = Path("/run/warmcell-rig/dockerd.pid")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    """A runtime of a test's own; when it was stopped, nothing is left of it."""
    if engine.absent():
        pytest.skip(engine.absent())
    yield tmp_path
    stop_runtime(tmp_path)
    assert engine.left_by(tmp_path) == []


@pytest.fixture
def kernel(own: Path) -> Iterator[LiveKernel]:
    with kernel_of(own, **settings()) as live:
        remote(live, "kept = 'still here'")
        yield live


def running(kernel: LiveKernel) -> str:
    """Start a cell that runs until a file named `go` is there."""
    request = kernel.start("%%gpu\nimport os, time\nprint('up', flush=True)\nwhile not os.path.exists('go'): time.sleep(0.01)\nprint('done')")
    kernel.wait_for(lambda m: m["content"].get("text") == "up\n")
    return request


def let_go(home: Path) -> None:
    """Let such a cell end: the host puts the file into the worker's room."""
    (room,) = (room for room in (home / "rooms").iterdir() if (room / "files").is_dir())
    (room / "files" / "go").touch()


def until(true: object, timeout_s: float = 30.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + timeout_s
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("words", [("kill",), ("rm", "-f")], ids=["killed", "removed by hand"])
def test_a_container_that_goes_ends_its_run_once_and_its_files_stay(kernel: LiveKernel, own: Path, words: tuple[str, ...]) -> None:
    remote(kernel, "open('result.txt', 'w').write('42')")
    request = running(kernel)
    engine.docker(*words, container_of(own))
    shown = kernel.finish(request, 90)
    assert shown.error["ename"], shown.outputs
    assert len([o for o in shown.outputs if o["type"] == "error"]) == 1
    assert remote(kernel, "print(open('result.txt').read())") == "42\n"


def test_a_container_that_somebody_pauses_goes_on_where_it_was(kernel: LiveKernel, own: Path) -> None:
    request = running(kernel)
    name = container_of(own)
    engine.docker("pause", name)
    engine.docker("unpause", name)
    let_go(own)
    shown = kernel.finish(request)
    assert (shown.text(), shown.error["ename"]) == ("done\n", "")


def test_a_gateway_that_is_killed_loses_no_run_and_is_followed_by_one_that_adopts(kernel: LiveKernel, own: Path) -> None:
    request = running(kernel)
    before = container_of(own)
    os.kill(json.loads((own / "gateway.json").read_text())["pid"], signal.SIGKILL)
    let_go(own)
    assert kernel.finish(request).text() == "done\n"
    assert remote(kernel, "print(kept)") == "still here\n"
    next_gateway(kernel)
    kernel.run("%gpu use cpu")
    assert kernel.run("%gpu").result.count("session ") == 2
    assert remote(kernel, "print(kept)") == "still here\n"
    assert before in engine.containers(own)


def next_gateway(kernel: LiveKernel) -> None:
    """Let a cell ask for a session of its own, which takes a gateway."""
    kernel.run("%gpu use cpu --session another")
    remote(kernel, "pass")


def test_what_a_crashed_gateway_left_without_a_record_is_removed(own: Path) -> None:
    with kernel_of(own, **settings()) as kernel:
        remote(kernel, "pass")
        label = f"warmcell.installation={engine.installation(own)}"
        made = engine.docker("create", "--label", label, "--label", "warmcell.worker=nobody", "warmcell-base:py3.11", "true")
        gateway = json.loads((own / "gateway.json").read_text())["pid"]
        os.kill(gateway, signal.SIGKILL)
        next_gateway(kernel)
        until(lambda: made not in engine.docker("ps", "-aq", "--no-trunc"))


def test_two_gateways_on_one_engine_leave_each_other_alone(own: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    try:
        with kernel_of(own, **settings()) as first, kernel_of(other, **settings()) as second:
            remote(first, "who = 1")
            remote(second, "who = 2")
            assert not set(engine.containers(own)) & set(engine.containers(other))
            stop_runtime(other)
            assert engine.left_by(other) == []
            assert remote(first, "print(who)") == "1\n"
    finally:
        stop_runtime(other)


def test_an_engine_that_stops_ends_each_run_once_and_comes_back(kernel: LiveKernel, own: Path) -> None:
    if not PID_FILE.exists():
        pytest.skip("this machine's Docker engine was not started by tests/rigs/docker.sh, so it is not stopped")
    rig = Path(__file__).resolve().parents[1] / "rigs" / "docker.sh"
    request = running(kernel)
    try:
        subprocess.run([str(rig), "stop"], check=True, timeout=60)
        shown = kernel.finish(request, 90)
        assert len([o for o in shown.outputs if o["type"] == "error"]) == 1
        told = [kernel.run("%%gpu\n1", 90).traceback for _ in range(2)]  # first that the session is gone
        assert "no Docker engine answers" in told[1]
    finally:
        subprocess.run([str(rig), sys.executable], check=True, timeout=120)
    assert remote(kernel, "print('again')") == "again\n"
    until(lambda: len(engine.containers(own)) <= 2)
