"""A kernel that waits for a device another one holds, or would rather not, as its notebook shows it."""

from __future__ import annotations

import json
import os
import queue
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from jupyter_ext.waits import waiting_text
from remote_runtime.wire import messages_pb2 as pb
from tests.kernels import LiveKernel
from tests.notebook.conftest import kernel_in, notices, value
from tests.worker.keeper.link import until


@pytest.fixture(scope="module")
def holder(trial: Path) -> Iterator[LiveKernel]:
    with kernel_in(trial, WARMCELL_SIMULATE="A100:1") as kernel:
        kernel.run("import os")
        yield kernel


@pytest.fixture
def held(holder: LiveKernel, trial: Path) -> Iterator[Path]:
    """The device, held by a run with a limit, until this file is there."""
    done = trial / "done"
    holder.run(f"%%gpu A100 --bg=holding --timeout 10m\nimport time\nwhile not os.path.exists({str(done)!r}): time.sleep(0.01)")
    yield done
    done.touch()
    holder.run("holding._ended.wait(30)")
    done.unlink()


@pytest.fixture
def other(trial: Path, held: Path) -> Iterator[LiveKernel]:
    with kernel_in(trial, WARMCELL_SIMULATE="A100:1") as kernel:
        yield kernel


def line_with(kernel: LiveKernel, words: str) -> str:
    """Wait for a status line."""
    while True:
        shown = kernel.client.get_iopub_msg(timeout=30)["content"].get("data", {}).get("text/plain", "")
        if words in shown:
            return shown


def test_no_wait_fails_and_names_the_holder_and_what_is_free(other: LiveKernel) -> None:
    shown = other.run("%%gpu A100 --no-wait\n1")
    assert shown.error["ename"] == "TargetBusy", shown.traceback
    assert "A100 is held by session " in shown.error["evalue"]
    assert "free now: cpu (price -)" in shown.error["evalue"]
    assert "hint: run it without --no-wait to queue" in shown.error["evalue"]


def test_use_no_wait_is_for_the_cells_that_follow_until_the_next_use(other: LiveKernel, held: Path) -> None:
    assert "held device" in other.run("%gpu use A100 --no-wait").result
    assert other.run("%%gpu\n1").error["ename"] == "TargetBusy"
    assert other.run("%gpu 1 + 1").error["ename"] == "TargetBusy"
    assert "held device" not in other.run("%gpu use A100").result
    request = other.start("%%gpu\n1")
    line_with(other, "place 1 in the queue")
    other.manager.interrupt_kernel()
    assert other.finish(request).error["ename"] == "KeyboardInterrupt"


def test_a_wait_shows_place_holder_and_estimate(other: LiveKernel) -> None:
    request = other.start("%%gpu A100\n1")
    line = line_with(other, "place 1 in the queue")
    assert "A100 is held by session " in line
    assert "free about " in line and "the --timeout of the run in session " in line
    other.manager.interrupt_kernel()
    assert other.finish(request).error["ename"] == "KeyboardInterrupt"


def gateway_of(trial: Path) -> int:
    """The gateway's process, 0 while its announcement is being replaced."""
    with suppress(FileNotFoundError):
        return json.loads((trial / "gateway.json").read_text())["pid"]
    return 0


def drain(kernel: LiveKernel) -> None:
    """Drop what the kernel has shown up to now."""
    with suppress(queue.Empty):
        while True:
            kernel.client.get_iopub_msg(timeout=0)


def queue_of(trial: Path) -> list[tuple[str, int]]:
    with closing(sqlite3.connect(f"file:{trial}/store.db?mode=ro", uri=True)) as store:
        return store.execute("SELECT ticket, arrived FROM queue").fetchall()


def test_a_wait_outlives_gateways_at_its_place_and_ends_with_the_device(
    holder: LiveKernel, other: LiveKernel, trial: Path, held: Path
) -> None:
    request = other.start("%%gpu A100\n40 + 2")
    line_with(other, "place 1 in the queue")
    place = queue_of(trial)
    for _ in range(3):
        gateway = until(lambda: gateway_of(trial), "a gateway")
        os.kill(gateway, signal.SIGKILL)
        until(lambda: gateway_of(trial) not in (0, gateway), "the next gateway")
        drain(other)
        line_with(other, "place 1 in the queue")
    assert queue_of(trial) == place
    held.touch()
    holder.run("holding._ended.wait(30)")
    holder.run("%gpu stop")
    shown = other.finish(request)
    assert shown.result == "42", shown.traceback
    assert not any("place in the queue" in notice for notice in notices(shown))
    assert value(other, "40 + 2") == 42


def test_a_kernel_that_dies_leaves_the_queue(other: LiveKernel, trial: Path) -> None:
    other.start("%%gpu A100\n1")
    line_with(other, "place 1 in the queue")
    assert len(queue_of(trial)) == 1
    other.manager.shutdown_kernel(now=True)
    until(lambda: not queue_of(trial), "an empty queue")


@pytest.mark.parametrize(
    ("waiting", "text"),
    [
        (pb.Waiting(reason="starting a worker"), "starting a worker"),
        (pb.Waiting(), "waiting"),
        (pb.Waiting(place=2, reason="A100 is held by session a", holder="session a"),
         "A100 is held by session a, place 2 in the queue, free at -"),
        (pb.Waiting(place=1, reason="all 4 workers are in use", holder="session a", estimate_s=90, rests_on="its past"),
         "all 4 workers are in use, held by session a, place 1 in the queue, free about 00:01:30 (its past)"),
        (pb.Waiting(place=1, reason="r", estimate_s=86_400, rests_on="its past"),
         "r, place 1 in the queue, free about Fri 00:00 (its past)"),
    ],
)  # fmt: skip
def test_a_wait_in_words(waiting: pb.Waiting, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.localtime", __import__("time").gmtime)
    assert waiting_text(waiting, clock=lambda: 0.0) == text
