"""Magic lines and directives: what is refused and how, and that line k is line k."""

from __future__ import annotations

import pytest

from tests.kernels import LiveKernel
from tests.notebook.conftest import code, notices, users, value

REFUSED = {
    "empty cell": ("%%gpu A100", "GrammarError", "`%gpu` alone shows"),
    "blank cell": ("%%gpu\n\n  \n", "GrammarError", "empty"),
    "after a comment": ("# note\n%%gpu A100\nx", "GrammarError", "`#| gpu: A100`"),
    "indented": ("  %%gpu\nx", "GrammarError", "first line"),
    "unknown flag": ("%%gpu --kep x\nx = 1", "GrammarError", "did you mean `--keep`?"),
    "unknown target": ("%%gpu A100\nx = 1", "TargetUnavailable", "hint:"),
    "unreadable target": ("%%gpu A100:x\nx = 1", "GrammarError", "A100:x"),
    "undefined brace": ("%%gpu {nope}\nx = 1", "GrammarError", "`{nope}`"),
    "not there yet": ("%%gpu --max-cost 3\nx = 1", "NotYet", "not there yet"),
    "help flag in quotes": ("%%gpu -q --bg=1x\nx = 1", "GrammarError", "1x"),
    "unknown command": ("%gpu logs", "GrammarError", "RUN"),
    "history": ("%%gpu\nOut[1]", "CaptureError", "`Out`"),
    "a value that cannot travel": ("%%gpu\nlock", "CaptureError", "`lock` cannot travel"),
    "a secret": ("%%gpu\napi_key", "SecretGate", "`-i api_key`"),
    "a large value": ("%%gpu\nlen(huge)", "SizeGate", "`-i huge`"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_run_says_so_in_an_error_output(kernel: LiveKernel, name: str) -> None:
    kernel.run("import threading; lock = threading.Lock(); api_key = 's3cret'; huge = bytes(600)\n%config GpuMagics.size_gate_bytes = 500")
    cell, ename, fragment = REFUSED[name]
    shown = kernel.run(cell)
    assert shown.error["ename"] == ename, shown.traceback
    assert fragment in shown.error["evalue"]
    assert "jupyter_ext" not in shown.traceback and "kernel_proxy" not in shown.traceback


def test_quotes_and_braces_on_the_line(kernel: LiveKernel) -> None:
    kernel.run("where = 'cpu'")
    for line in ('%%gpu "cpu"', "%%gpu {where}", "%%gpu $where"):
        assert kernel.run(f"{line}\n1").status == "ok"


def test_a_named_secret_and_a_named_large_value_travel(kernel: LiveKernel) -> None:
    kernel.run("auth_token = 'abc'; heavy = bytes(600)\n%config GpuMagics.size_gate_bytes = 500")
    kernel.run("%%gpu -i auth_token,heavy\nlength = len(auth_token) + len(heavy)")
    assert value(kernel, "length") == 603


DIRECTIVES = {
    "alone": "#| gpu: cpu\nmarked = 'there'",
    "after comments": "# a note\n\n#| gpu: cpu -q\nmarked = 'there'",
    "no target": "#| gpu\nmarked = 'there'",
    "blank lines first": "\n\n#| gpu:\nmarked = 'there'",
}


@pytest.mark.parametrize("name", DIRECTIVES)
def test_a_directive_runs_the_cell_there(kernel: LiveKernel, name: str) -> None:
    kernel.run("import os\nmarked = pid_there = None; here = os.getpid()")
    kernel.run(f"{DIRECTIVES[name]}\nimport os; pid_there = os.getpid()")
    assert value(kernel, "marked, pid_there not in (None, here)") == ("there", True)


def test_a_comment_that_is_no_directive_leaves_the_cell_here(kernel: LiveKernel) -> None:
    kernel.run("import os; here = os.getpid()\n#| gpu: cpu\nran_in = os.getpid()")
    assert value(kernel, "ran_in == here") is True


LINES = {
    "%%gpu\n\nx = 1\n1 / 0": 4,
    "#| gpu: cpu\nx = 1\n1 / 0": 3,
    "# note\n#| gpu: cpu\n\n1 / 0": 4,
    "%%gpu -q\ndef f():\n    return 1 / 0\nf()": 4,
    "z = 1\nz = %gpu 1 / 0": 2,
}


@pytest.mark.parametrize("cell", LINES)
def test_the_traceback_begins_at_the_users_line(kernel: LiveKernel, cell: str) -> None:
    shown = kernel.run(cell)
    first = next(line for line in shown.traceback.splitlines() if "Cell" in line)
    assert f"line {LINES[cell]}" in first
    assert shown.error["ename"] == "ZeroDivisionError"
    assert "/jupyter_ext/" not in shown.traceback and "/remote_runtime/" not in shown.traceback


def test_a_syntax_error_points_at_the_line(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu\nfine = 1\nx = = 2")
    assert shown.error["ename"] == "SyntaxError"
    assert "line 3" in shown.traceback and "x = = 2" in shown.traceback


def test_a_warning_of_the_plan_is_shown_once(kernel: LiveKernel) -> None:
    cell = "%%gpu\nexec('dynamic = 1')"
    assert any("-i" in notice for notice in notices(kernel.run(cell)))
    assert notices(kernel.run(cell)) == []


def test_help(kernel: LiveKernel) -> None:
    assert "TARGET" in kernel.run("%%gpu -h").result
    assert "TARGET" in kernel.run("%gpu -h").result
    kernel.client.execute("%%gpu?")
    reply = kernel.client.get_shell_msg(timeout=20)
    assert "--keep" in str(reply["content"]["payload"])


def test_loading_is_quiet_quick_and_can_be_undone(kernel: LiveKernel) -> None:
    shown = kernel.run(code("""
        import sys
        %reload_ext warmcell
        """))  # fmt: skip
    assert users(shown) == []
    kernel.run("%unload_ext warmcell")
    assert kernel.run("%gpu").status == "error"
    kernel.run("%load_ext warmcell")
    assert kernel.run("%%gpu\n1 + 1").result == "2"
