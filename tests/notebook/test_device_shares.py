"""Shares of a declared device in a notebook: chosen, told, refused; and what an error for want of memory looks like there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernels import LiveKernel, kernel_of
from tests.notebook.conftest import kernel_in


@pytest.fixture(scope="module")
def kernel(trial: Path) -> Iterator[LiveKernel]:
    with kernel_of(trial, WARMCELL_SIMULATE="A100", WARMCELL_TARGET="A100", WARMCELL_IMPORTS="json") as kernel:
        yield kernel


def test_two_notebooks_share_a_device_and_it_is_told(kernel: LiveKernel, trial: Path) -> None:
    chosen = kernel.run("%gpu use A100 --session one --share 20GB")
    assert "20GB of its memory" in chosen.result, chosen.traceback
    assert kernel.run("%%gpu\n1 + 1").result == "2"
    with kernel_in(trial, WARMCELL_SIMULATE="A100") as other:
        other.run("%gpu use A100/10GB --session two")
        assert other.run("%%gpu\n2 + 2").result == "4"
        status, runs = kernel.run("%gpu").result, kernel.run("%gpu ps").result
    for told in (status, runs):
        assert "sim-A100-0 (20GB of it)" in told and "sim-A100-0 (10GB of it)" in told
    assert "device 20GB of its memory (by `%gpu use`)" in kernel.run("%gpu env").result


def test_another_choice_says_what_an_open_session_keeps(kernel: LiveKernel) -> None:
    shown = kernel.run("%gpu use --exclusive").result
    assert "shared with nobody" in shown and "keeps its device: 20GB of its memory, until it is released" in shown
    kernel.run("%gpu use --share 20GB")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--share 20", "`20` names no share of memory"),
        ("--share 0GB", "`0GB` names no share of memory"),
        ("--share 20GB --exclusive", "leaves room for others"),
    ],
)
def test_what_cannot_be_meant_is_refused(kernel: LiveKernel, line: str, said: str) -> None:
    shown = kernel.run(f"%gpu use {line}")
    assert said in shown.traceback and "hint: " in shown.traceback


def test_a_share_larger_than_any_device_is_refused(kernel: LiveKernel) -> None:
    kernel.run("%gpu use A100 --session huge --share 900GB")
    shown = kernel.run("%%gpu --no-wait\n1")
    kernel.run("%gpu use --reset")
    assert shown.error["ename"] in ("TargetUnavailable", "BadTarget", "NoSuchTarget", "TargetBusy"), shown.traceback
    assert "900GB" in shown.traceback


def test_the_flags_are_offered(kernel: LiveKernel) -> None:
    for line, whole in (("%gpu use --sh", "--share"), ("%gpu use --ex", "--exclusive")):
        kernel.client.complete(line, len(line))
        content = kernel.client.get_shell_msg(timeout=30)["content"]
        assert any((line[: content["cursor_start"]] + match).endswith(whole) for match in content["matches"])


def test_want_of_memory_is_explained_below_the_users_own_error(kernel: LiveKernel) -> None:
    kernel.run("%gpu use A100 --session one --share 20GB")
    shown = kernel.run("%%gpu\nimport torch\nraise torch.OutOfMemoryError('CUDA out of memory.')")
    assert shown.error["ename"] == "OutOfMemoryError" and "raise torch" in shown.traceback
    assert shown.traceback.index("CUDA out of memory.") < shown.traceback.index("this session") < shown.traceback.index("hint: take a smaller")
