"""A remote cell shows what the same cell shows when it runs here."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kernels import LiveKernel, Shown
from tests.notebook.conftest import code, users

CELLS = {
    "print": "print('one'); print('two', 'three', sep='-')",
    "both streams in turn": code("""
        import sys
        for n in range(3):
            print('out', n); sys.stdout.flush()
            print('err', n, file=sys.stderr); sys.stderr.flush()
        """),
    "no newline at the end": "print('loose', end='')",
    "carriage returns": "import sys\nfor n in range(3): sys.stdout.write(f'\\r{n}')",
    "unicode": "print('ü ✓ 🙂')",
    "last expression": "21 * 2",
    "silenced": "21 * 2;",
    "none": "None",
    "html": "from IPython.display import HTML\nHTML('<b>bold</b>')",
    "display in the middle": "from IPython.display import display\nprint('a'); display({'k': 1}); print('b'); 3",
    "display with an id, updated": code("""
        from IPython.display import display
        h = display('first', display_id='fixed'); h.update('second')
        """),
    "display of raw data": "from IPython.display import display\ndisplay({'text/plain': 'p', 'application/x-t+json': {'a': [1]}}, raw=True)",
    "clear at once": "from IPython.display import clear_output\nprint('gone'); clear_output(); print('here')",
    "clear with the next": "from IPython.display import clear_output\nprint('gone'); clear_output(wait=True); print('here')",
    "frame": "import pandas as pd\npd.DataFrame({'a': [1, 2], 'b': ['x', None]})",
    "array": "import numpy as np\nnp.arange(6).reshape(2, 3)",
    "figure": code("""
        %matplotlib inline
        import matplotlib.pyplot as plt
        plt.plot([1, 3, 2]); plt.title('t'); plt.show()
        """),
    "await": "import asyncio\nawait asyncio.sleep(0, 'awaited')",
    "shell line": "!printf 'from the shell\\n'",
    "line magic": "%precision 3\n3.14159",
    "warning": "import warnings\nwarnings.warn_explicit('careful', UserWarning, 'file.py', 7)",
    "error": "print('before')\n1 / 0",
    "error of one's own": "class Mine(Exception): pass\nraise Mine('own', 3)",
    "error in a function": "def f(n):\n    return 1 / n\n\nf(0)",
    "syntax error": "x = = 1",
    "syntax error at run time": "exec('1 +')",
    "system exit": "import sys\nsys.exit('done')",
    "exception group": "raise ExceptionGroup('several', [ValueError(1)])",
    "chained": "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise RuntimeError('later') from e",
    "keyboard interrupt": "raise KeyboardInterrupt",
}  # fmt: skip

PLAIN = ("exception group", "system exit")  # what IPython shows of these names the local machinery


def comparable(shown: Shown) -> list[tuple[Any, ...]]:
    """Outputs without what differs between two runs of one cell: counts, random ids, frames."""
    rows: list[tuple[Any, ...]] = []
    for output in users(shown):
        kind = output["type"]
        if kind == "stream":
            rows.append((kind, output["name"], output["text"]))
        elif kind == "error":
            rows.append((kind, output["ename"], output["evalue"].partition(" (")[0]))
        elif kind == "clear_output":
            rows.append((kind, output["wait"]))
        else:
            fixed = output.get("transient", {}).get("display_id") == "fixed"
            rows.append((kind, output["data"], output["metadata"], fixed))
    return rows


@pytest.mark.parametrize("cell", [pytest.param(cell, id=name) for name, cell in CELLS.items() if name not in PLAIN])
def test_a_remote_cell_shows_what_a_local_one_does(kernel: LiveKernel, cell: str) -> None:
    local = kernel.run(cell)
    remote = kernel.run(f"%%gpu\n{cell}")
    assert comparable(remote) == comparable(local)
    assert remote.status == local.status


@pytest.mark.parametrize("name", PLAIN)
def test_what_ipython_shows_its_own_way_is_an_error_output_all_the_same(kernel: LiveKernel, name: str) -> None:
    shown = kernel.run(f"%%gpu\n{CELLS[name]}")
    assert shown.status == "error"
    assert shown.error["ename"] == {"exception group": "ExceptionGroup", "system exit": "SystemExit"}[name]
    assert "jupyter_ext" not in shown.traceback


def test_the_result_is_numbered_as_the_cell_is(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu\n6 * 7")
    found = [output for output in shown.outputs if output["type"] == "execute_result"]
    entered = [output for output in shown.outputs if output["type"] == "execute_input"]
    assert [output["execution_count"] for output in found] == [entered[0]["execution_count"]]


def test_a_display_of_one_remote_cell_is_updated_by_another(kernel: LiveKernel) -> None:
    kernel.run("%%gpu\nfrom IPython.display import display, update_display\ndisplay('a', display_id='across')")
    shown = kernel.run("%%gpu\nupdate_display('b', display_id='across')")
    updates = [output for output in shown.outputs if output["type"] == "update_display_data"]
    assert [(u["transient"]["display_id"], u["data"]["text/plain"]) for u in updates] == [("across", "'b'")]


def test_capture_holds_streams_displays_and_the_result(kernel: LiveKernel) -> None:
    kernel.run("%%capture held\n%%gpu -q\nfrom IPython.display import display\nprint('o'); display('d'); 'r'")
    shown = kernel.run("print(repr((held.stdout, [o.data['text/plain'] for o in held.outputs])))")
    assert eval(shown.text()) == ("o\n", ["'d'", "'r'"])


def test_a_progress_bar_is_the_same_bar(kernel: LiveKernel) -> None:
    cell = "from tqdm import tqdm\nfor _ in tqdm(range(3), bar_format='{n_fmt}/{total_fmt}', mininterval=0): pass"
    local, remote = kernel.run(cell), kernel.run(f"%%gpu\n{cell}")
    assert remote.text("stderr") == local.text("stderr") != ""


def test_stdout_and_stderr_hold_the_users_bytes_alone(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu\nprint('mine')")
    assert (shown.text(), shown.text("stderr")) == ("mine\n", "")


def test_many_lines_arrive_in_order_each_once(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu\nfor n in range(20_000): print(n)")
    assert shown.text() == "".join(f"{n}\n" for n in range(20_000))
