"""Runs the tour in a real kernel without a browser and prints what came back: `python -m examples.tour`."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

NOTEBOOK = Path(__file__).with_name("tour.ipynb")
CELL_TIMEOUT_S = 600


def main() -> int:
    """Run the notebook, print each cell's first line and outputs, and keep the executed copy.

    Returns:
        0, or 1 when a cell failed.
    """
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, timeout=CELL_TIMEOUT_S, on_cell_executed=_show, resources=_resources())
    try:
        client.execute()
    except CellExecutionError as error:
        print(f"\na cell failed: {error.ename}: {error.evalue}", file=sys.stderr)
        return 1
    finally:
        print(f"\nthe executed notebook: {_keep(notebook)}")
    return 0


def _resources() -> dict:
    return {"metadata": {"path": str(NOTEBOOK.parent)}}


def _keep(notebook: nbformat.NotebookNode) -> Path:
    target = Path(tempfile.mkdtemp(prefix="warmcell-tour-")) / NOTEBOOK.name
    nbformat.write(notebook, target)
    return target


def _show(cell: nbformat.NotebookNode, cell_index: int, **_: object) -> None:
    print(f"\nIn [{cell.execution_count}]: {cell.source.splitlines()[0]}")
    for output in cell.outputs:
        text = _text(output)
        if text:
            print("   " + text.replace("\n", "\n   "))


def _text(output: nbformat.NotebookNode) -> str:
    if output.output_type == "stream":
        # A progress bar rewrites its line; a terminal log wants the last state only.
        return "\n".join(line.split("\r")[-1] for line in output.text.rstrip().splitlines() or [""])
    if output.output_type == "error":
        return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(output.traceback))
    if "image/png" in output.data:
        return f"[figure, {len(output.data['image/png']) * 3 // 4} bytes of PNG]"
    return output.data.get("text/plain", "")


if __name__ == "__main__":
    sys.exit(main())
