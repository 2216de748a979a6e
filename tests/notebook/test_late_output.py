"""What a run shows after its end stands in its own cell, and in no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.kernels import LiveKernel, environment
from tests.notebook.conftest import code, kernel_in, receipt, release, users

DISPLAYS = ("display_data", "update_display_data")


@pytest.fixture
def kernel(home: Path) -> Iterator[LiveKernel]:
    """A kernel of its own: threads of one test shall not speak in another."""
    with kernel_in(home) as kernel:
        yield kernel


def waiting(body: str) -> str:
    """A cell whose thread does something once `go` is set."""
    return "%%gpu\nimport threading\ngo = threading.Event()\ndef late():\n    go.wait()\n" + "\n".join(
        f"    {line}" for line in body.splitlines()
    ) + "\nthread = threading.Thread(target=late); thread.start()"


def shows(kernel: LiveKernel, text: str) -> dict[str, Any]:
    return kernel.wait_for(lambda m: m["msg_type"] in DISPLAYS and text in str(m["content"]["data"]))


def test_a_threads_print_goes_to_its_own_cell_while_another_runs(kernel: LiveKernel) -> None:
    request = kernel.start(waiting("print('from the thread')"))
    made = [o for o in kernel.finish(request).outputs if o.get("metadata", {}).get("warmcell", {}).get("late")]
    shown = kernel.run("%%gpu\ngo.set(); thread.join()\nprint('mine')")
    assert shown.text() == "mine\n"
    told = shows(kernel, "from the thread")
    assert (told["msg_type"], told["parent_header"]["msg_id"]) == ("update_display_data", request)
    assert told["content"]["transient"] == made[0]["transient"]


def test_it_comes_while_no_cell_runs(kernel: LiveKernel) -> None:
    request = kernel.start("%%gpu\nimport asyncio\nasyncio.get_running_loop().call_later(0.2, print, 'from the timer')")
    kernel.finish(request)
    assert shows(kernel, "from the timer")["parent_header"]["msg_id"] == request


def test_a_task_of_the_cell_goes_on_and_speaks_there(kernel: LiveKernel) -> None:
    cell = "%%gpu\nimport asyncio\nasync def later():\n    await asyncio.sleep(0.2)\n    print('from the task')\ntask = asyncio.create_task(later())"
    request = kernel.start(cell)
    kernel.finish(request)
    assert shows(kernel, "from the task")["parent_header"]["msg_id"] == request


def test_text_and_rich_outputs_stand_in_one_display_in_order(kernel: LiveKernel) -> None:
    kernel.run(waiting("from IPython.display import HTML, display\nprint('one'); display(HTML('<b>two</b>')); print('three')"))
    kernel.run("%%gpu\ngo.set(); thread.join()")
    html = shows(kernel, "three")["content"]["data"]["text/html"]
    assert html.index("one") < html.index("<b>two</b>") < html.index("three")


def test_a_display_of_the_cell_is_updated_where_it_stands(kernel: LiveKernel) -> None:
    kernel.run(waiting("handle.update('after')") + "\nhandle = display('before', display_id='mark')")
    kernel.run("%%gpu\ngo.set(); thread.join()")
    told = shows(kernel, "after")
    assert told["msg_type"] == "update_display_data" and told["content"]["transient"]["display_id"] == "mark"


def test_a_quiet_cell_has_no_display_for_what_never_comes(kernel: LiveKernel) -> None:
    assert users(kernel.run("%%gpu -q\nx = 1")) == []


def test_much_text_keeps_its_end_and_says_what_is_gone(kernel: LiveKernel) -> None:
    kernel.run(waiting("for n in range(30_000): print('line', n)\nprint('the end')"))
    kernel.run("%%gpu\ngo.set(); thread.join()")
    text = shows(kernel, "the end")["content"]["data"]["text/plain"]
    assert "earlier characters are no longer shown" in text and len(text) < 70_000


def test_an_attached_run_shows_it_in_the_cell_that_attached(kernel: LiveKernel) -> None:
    shown = kernel.run(waiting("print('from the thread')"))
    kernel.run("%%gpu\ngo.set(); thread.join()")
    shows(kernel, "from the thread")
    request = kernel.start(f"%gpu attach {receipt(shown)['run_id']}")
    told = shows(kernel, "from the thread")  # with the cell's own outputs, or after them
    assert told["parent_header"]["msg_id"] == request


def test_subthreads_and_timers_of_a_thread_belong_to_the_run_too(kernel: LiveKernel) -> None:
    request = kernel.start(waiting("timer = threading.Timer(0, print, ['deep']); timer.start(); timer.join()"))
    kernel.finish(request)
    assert kernel.run("%%gpu\ngo.set(); thread.join()").text() == ""
    assert shows(kernel, "deep")["parent_header"]["msg_id"] == request


def test_a_failing_thread_shows_its_traceback_there(kernel: LiveKernel) -> None:
    request = kernel.start(waiting("1 / 0"))
    kernel.finish(request)
    kernel.run("%%gpu\ngo.set(); thread.join()")
    told = shows(kernel, "ZeroDivisionError")
    assert told["parent_header"]["msg_id"] == request and "origin.py" not in str(told["content"]["data"])


def executed(home: Path, *cells: str) -> Any:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in ("%load_ext warmcell", *cells)])
    client = NotebookClient(notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(Path.cwd())}})
    client.execute(env=environment(home))
    release(home)
    return notebook


def texts(cell: Any) -> str:
    return "".join(o.get("text", "") or str(o.get("data", "")) for o in cell.outputs)


def test_a_headless_notebook_keeps_it_in_the_cell_that_started_it(home: Path) -> None:
    quiet = "import time\ntime.sleep(1)"
    notebook = executed(home, waiting("print('late words')"), "%%gpu\ngo.set(); thread.join()\nprint('mine')", quiet)
    assert ["late words" in texts(cell) for cell in notebook.cells] == [False, True, False, False]


def test_a_headless_notebook_keeps_its_widgets_and_says_that_nobody_is_asked(home: Path) -> None:
    asks = code("""
        %%gpu
        from IPython.core.error import StdinNotImplementedError
        try: input()
        except StdinNotImplementedError as error: print(error)
        """)
    bar = "%%gpu\nfrom tqdm.notebook import tqdm\nfor _ in tqdm(range(4)): pass"
    notebook = executed(home, bar, asks)
    assert "widget-view+json" in texts(notebook.cells[1]) and "takes no input" in texts(notebook.cells[2])
    models = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"].values()
    assert [m["state"]["value"] for m in models if m["model_name"] == "FloatProgressModel"] == [4.0]
