"""Waiting for a device that another notebook holds; declared devices are marked wherever they show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernels import LiveKernel
from tests.notebook.conftest import kernel_in, receipt, users


@pytest.fixture(scope="module")
def holder(trial: Path) -> Iterator[LiveKernel]:
    with kernel_in(trial, WARMCELL_SIMULATE="A100:1") as kernel:
        kernel.run("%%gpu A100 --bg=holding\nimport time\nwhile True: time.sleep(0.01)")
        yield kernel


def test_a_simulated_device_says_so_everywhere(trial: Path, holder: LiveKernel) -> None:
    assert "A100" in holder.run("%gpu").result and "(simulated)" in holder.run("%gpu").result
    assert "(simulated)" in holder.run("%gpu doctor").result


def test_an_interrupt_leaves_the_queue(trial: Path, holder: LiveKernel) -> None:
    with kernel_in(trial) as other:
        request = other.start("%%gpu A100\n1")
        while True:  # until the status line says what is waited for
            message = other.client.get_iopub_msg(timeout=30)
            if "held by" in message["content"].get("data", {}).get("text/plain", ""):
                break
        other.manager.interrupt_kernel()
        shown = other.finish(request)
        assert shown.error["ename"] == "KeyboardInterrupt" and "kernel_proxy" not in shown.traceback
        assert len([line for line in other.run("%gpu").result.splitlines() if line.startswith("session")]) == 1


def test_the_receipt_marks_it(trial: Path, holder: LiveKernel) -> None:
    holder.run("%gpu cancel holding")
    holder.run("holding._ended.wait(30)")
    shown = holder.run("%%gpu A100\n1 + 1")
    assert receipt(shown)["simulated"] and "(simulated)" in shown.outputs[-1]["data"]["text/plain"]
    assert users(shown)[0]["data"]["text/plain"] == "2"
