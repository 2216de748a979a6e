"""The crash table: stage x way of dying -> error and text. Every death is a real one.

After each: one clear end, what was printed before it is shown, and the next cell works.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernels import LiveKernel, live_kernel

DEATHS = {
    "exception": "raise ValueError('boom')",
    "sys.exit": "import sys; sys.exit(3)",
    "os._exit": "import os; os._exit(7)",
    "segfault": "import ctypes; ctypes.string_at(0)",
    "SIGKILL": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "abort": "import os; os.abort()",
}

# Where it happens: what the notebook defines here first, and the cell that meets it there.
STAGES = {
    "unpacking": ("{die}\nclass Trap:\n    def __reduce__(self): return (die, ())\ntrap = Trap()", "print('before')\ntrap"),
    "running": ("{die}", "print('before')\ndie()"),
    "in a thread": ("{die}", "import threading\nprint('before')\nt = threading.Thread(target=die); t.start(); t.join()"),
    "displaying": ("{die}\nclass Show:\n    def _repr_html_(self): die()", "print('before')\nfrom IPython.display import display\ndisplay(Show())"),
    "packing": ("{die}", "print('before')\nclass Trap:\n    def __reduce__(self): die()\ntrap = Trap()"),
    "in a child": ("{die}", "import os\nprint('before', flush=True)\npid = os.fork()\nif pid == 0: die()\nstate = os.waitpid(pid, 0)[1]"),
}  # fmt: skip

HARD = {
    "os._exit": "exited with code 7",
    "segfault": "SIGSEGV",
    "SIGKILL": "SIGKILL",
    "abort": "SIGABRT",
}

# (stage, death) -> error class ("" for a cell that succeeds), fragment of its text
TABLE: dict[tuple[str, str], tuple[str, str]] = {
    **{(stage, death): ("WorkerDied", text) for stage in ("unpacking", "running", "in a thread", "displaying", "packing") for death, text in HARD.items()},
    **{("in a child", death): ("", "") for death in DEATHS},
    ("unpacking", "exception"): ("TransferError", "boom"),
    ("unpacking", "sys.exit"): ("TransferError", "SystemExit"),
    ("running", "exception"): ("ValueError", "boom"),
    ("running", "sys.exit"): ("SystemExit", "3"),
    ("in a thread", "exception"): ("", ""),
    ("in a thread", "sys.exit"): ("", ""),
    ("displaying", "exception"): ("", ""),
    ("displaying", "sys.exit"): ("SystemExit", "3"),
    ("packing", "exception"): ("", ""),
    ("packing", "sys.exit"): ("", ""),
}  # fmt: skip

PRINTS_NOTHING = {"unpacking"}

# Rows that are tried with spawned workers too; each costs the start of an interpreter.
SPAWNED = [
    ("unpacking", "abort"), ("running", "os._exit"), ("running", "exception"), ("in a thread", "SIGKILL"),
    ("packing", "segfault"), ("in a child", "segfault"),
]  # fmt: skip


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKernel]:
    home: Path = tmp_path_factory.mktemp("home")
    with live_kernel(home) as live:
        yield live


@pytest.fixture(scope="module")
def spawning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKernel]:
    with live_kernel(tmp_path_factory.mktemp("home"), WARMCELL_START="spawn", WARMCELL_IMPORTS="json") as live:
        yield live


def test_the_table_has_every_cell() -> None:
    assert set(TABLE) == {(stage, death) for stage in STAGES for death in DEATHS}


@pytest.mark.parametrize(("stage", "death"), sorted(TABLE), ids=lambda v: v)
def test_dying(kernel: LiveKernel, stage: str, death: str) -> None:
    die(kernel, stage, death)


@pytest.mark.parametrize(("stage", "death"), SPAWNED, ids=lambda v: v)
def test_dying_in_a_spawned_worker(spawning: LiveKernel, stage: str, death: str) -> None:
    die(spawning, stage, death)


def die(kernel: LiveKernel, stage: str, death: str) -> None:
    prepare, cell = STAGES[stage]
    kernel.run(prepare.format(die=f"def die():\n    {DEATHS[death]}"))
    shown = kernel.run(f"%%gpu cpu\n{cell}")
    error, fragment = TABLE[stage, death]
    assert shown.error["ename"] == error, shown.traceback
    assert fragment in shown.error["evalue"]
    assert ("before" in shown.text()) == (stage not in PRINTS_NOTHING)
    after = kernel.run("%%gpu cpu\n1 + 1")
    assert after.result == "2", after.traceback
