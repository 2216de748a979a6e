"""Whole notebooks run headless, by the client that nbconvert and papermill use."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from tests.kernels import environment
from tests.notebook.conftest import release

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def executed(name: str, home: Path) -> NotebookNode:
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    resources = {"metadata": {"path": str(Path.cwd())}}
    client = NotebookClient(notebook, timeout=60, kernel_name="python3", resources=resources)
    try:
        client.execute(env=environment(home))
    except CellExecutionError as error:
        notebook.metadata["stopped"] = error.ename
    finally:
        release(home)
    return notebook


def test_local_and_remote_cells_in_sequence(home: Path) -> None:
    assert "stopped" not in executed("sequences", home).metadata


def test_outputs_stand_in_the_notebook_as_a_local_kernel_leaves_them(home: Path) -> None:
    cells = [cell.outputs for cell in executed("outputs", home).cells if cell.cell_type == "code"][1:]
    assert {(o.name, o.text) for o in cells[0]} == {("stdout", "to stdout\n"), ("stderr", "to stderr\n")}
    assert [o.output_type for o in cells[1]] == ["execute_result"] and "<table" in cells[1][0].data["text/html"]
    assert [sorted(o.data) for o in cells[2]] == [["image/png", "text/plain"]]
    assert [o.data["text/plain"] for o in cells[3]] == ["'after'"]
    assert [o.text for o in cells[4]] == ["step 2\n"]
    assert [o.data["text/plain"] for o in cells[5]] == ["'awaited'"]


def test_a_failing_cell_stops_the_notebook(home: Path) -> None:
    notebook = executed("stops_at_the_error", home)
    failed, after = notebook.cells[-2:]
    assert notebook.metadata["stopped"] == "ValueError"
    assert [o.ename for o in failed.outputs if o.output_type == "error"] == ["ValueError"]
    assert after.execution_count is None


@pytest.mark.parametrize("cell", ["%%gpu", "%%gpu --unknown\n1", "%%gpu A100\n1", "# c\n%%gpu\n1"])
def test_our_own_errors_stop_it_too(home: Path, cell: str) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in ("%load_ext warmcell", cell)])
    client = NotebookClient(notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(Path.cwd())}})
    with pytest.raises(CellExecutionError, match="hint: "):
        client.execute(env=environment(home))
