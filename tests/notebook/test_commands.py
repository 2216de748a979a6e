"""The commands of `%gpu`, and completion."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kernels import LiveKernel
from tests.notebook.conftest import kernel_in, receipt, users, value

LOOKS = ("%gpu", "%gpu ps", "%gpu doctor", "%gpu tb", "%gpu use A100", "%%gpu --dry-run\nx = 1")


def test_looking_starts_no_runtime(tmp_path: Path) -> None:
    with kernel_in(tmp_path / "untouched") as kernel:
        for command in LOOKS:
            assert kernel.run(command).status == "ok", command
        assert "no runtime is running" in kernel.run("%gpu").result
    assert not (tmp_path / "untouched" / "gateway.json").exists()


def test_status_shows_devices_sessions_and_the_default(kernel: LiveKernel) -> None:
    kernel.run("%%gpu\n1")
    shown = kernel.run("%gpu").result
    assert "cpu" in shown and "(this notebook)" in shown and "default target any" in shown


def test_ps_lists_runs_with_their_first_line(kernel: LiveKernel) -> None:
    kernel.run("%%gpu\nlabelled = 'by this line'")
    assert "labelled" in kernel.run("%gpu ps").result


def test_vars_get_put_and_rm(kernel: LiveKernel) -> None:
    kernel.run("%%gpu --keep far\nfar = [1, 2]")
    assert "far" in kernel.run("%gpu vars").result
    kernel.run("%gpu get far")
    assert value(kernel, "far") == [1, 2]
    kernel.run("far = [3]; near = 'n'\n%gpu put far near")
    assert kernel.run("%%gpu --only -i _unused\nfar, near").error["ename"] == "CaptureError"
    assert receipt(kernel.run("%%gpu\n(far, near)"))["reused"] == ["far", "near"]
    kernel.run("del far, near")
    assert kernel.run("%%gpu\nfar").error["ename"] == "NameError"  # what is deleted here is gone there
    kernel.run("%gpu rm far")
    assert kernel.run("%%gpu\nfar").error["ename"] == "NameError"


@pytest.mark.parametrize("command", ["get", "put", "logs", "attach", "wait", "cancel"])
def test_a_word_that_names_nothing_is_an_error_with_a_hint(kernel: LiveKernel, command: str) -> None:
    shown = kernel.run(f"%gpu {command} nowhere")
    assert shown.status == "error" and "hint: " in shown.error["evalue"]
    assert "jupyter_ext" not in shown.traceback


def test_env_shows_both_sides(kernel: LiveKernel) -> None:
    shown = kernel.run("%gpu env").result
    assert shown.splitlines()[1].split() == ["package", "kernel", "worker"] and "cloudpickle" in shown


def test_free_says_what_it_freed(kernel: LiveKernel) -> None:
    assert kernel.run("%gpu free").result.startswith("freed")


def test_logs_show_what_a_run_has_put_out(kernel: LiveKernel) -> None:
    kernel.run("%%gpu --bg=logged\nprint('to the log')\n'and a result'")
    kernel.run("%gpu wait logged")
    run_id = value(kernel, "logged.run_id")
    for word in ("logged", run_id):
        assert kernel.run(f"%gpu logs {word}").result.splitlines() == ["to the log", "'and a result'"]


def test_tb_shows_the_last_traceback_and_with_full_the_rest(kernel: LiveKernel) -> None:
    kernel.run("%%gpu\n1 / 0")
    short, full = (kernel.run(f"%gpu tb{flag}").result for flag in ("", " --full"))
    assert "ZeroDivisionError" in short and "ZeroDivisionError" in full
    assert "remote_runtime" in full and "remote_runtime" not in short


def test_use_sets_the_default_and_a_session_can_be_shared_by_name(kernel: LiveKernel, home: Path) -> None:
    kernel.run("%gpu use cpu --session together\n")
    kernel.run("%%gpu\nshared_value = 'from the first'")
    with kernel_in(home) as other:
        other.run("%gpu use cpu --session together")
        assert other.run("%%gpu\nshared_value").result == "'from the first'"
    kernel.run("%gpu stop")
    kernel.run("%reload_ext warmcell")


def test_stop_ends_the_session_and_says_what_is_lost(kernel: LiveKernel) -> None:
    kernel.run("%%gpu --keep gone_soon\ngone_soon = 1; small = 2")
    shown = kernel.run("%gpu stop")
    assert "stopped session" in shown.result and "gone_soon" in shown.result and "small" in shown.result
    assert kernel.run("gone_soon.get()").error["ename"] == "SessionLost"
    assert kernel.run("%%gpu\n'small' in globals(), 1 + 1").result == "(False, 2)"


COMPLETIONS = {
    "%%gpu A1": "A100",
    "%%gpu --ke": "--keep",
    "%%gpu A100 --d": "--dry-run",
    "#| gpu: cp": "cpu",
    "%gpu at": "attach",
    "y = %gpu do": "doctor",
    "%gpu get com": "completed_name",
    "%gpu use H1": "H100",
    "%gpu env --d": "--diff",
}


@pytest.mark.parametrize("line", COMPLETIONS)
def test_completion(kernel: LiveKernel, line: str) -> None:
    kernel.run("completed_name = 1")
    kernel.client.complete(line, len(line))
    content = kernel.client.get_shell_msg(timeout=20)["content"]
    completed = [line[: content["cursor_start"]] + match for match in content["matches"]]
    assert any(found.endswith(COMPLETIONS[line]) for found in completed), completed


def test_completion_elsewhere_is_left_alone(kernel: LiveKernel) -> None:
    kernel.run("completed_name = 1\n%config IPCompleter.use_jedi = False")
    kernel.client.complete("completed_na", 12)
    assert kernel.client.get_shell_msg(timeout=20)["content"]["matches"][:1] == ["completed_name"]


def test_commands_print_nothing(kernel: LiveKernel) -> None:
    shown = kernel.run("%gpu vars")
    assert (shown.text(), shown.text("stderr")) == ("", "") and len(users(shown)) == 1
