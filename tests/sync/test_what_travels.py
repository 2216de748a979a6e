"""The document's cells do what the document says, in a real kernel, top to bottom."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.kernels import LiveKernel, live_kernel

PAGE = Path(__file__).resolve().parents[2] / "docs" / "what-travels.md"
_BLOCK = re.compile(r"^```(python|text)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Example:
    """One block of the page.

    Args:
        source: The cell.
        how: What stands beside `python`: `here`, `raises`, or flags of the magic line.
        shows: What the page says that it prints, or raises; None where it says nothing.
    """

    source: str
    how: str
    shows: str | None


def examples() -> list[Example]:
    blocks = _BLOCK.findall(PAGE.read_text())
    found: list[Example] = []
    for kind, how, text in blocks:
        if kind == "python":
            found.append(Example(text, how.strip(), None))
        else:
            found[-1] = Example(found[-1].source, found[-1].how, text)
    return found


def run(kernel: LiveKernel, example: Example) -> str:
    """Run an example; return what a reader sees of it."""
    if example.how == "here":
        return kernel.run(example.source).text()
    flags = "" if example.how == "raises" else example.how
    shown = kernel.run(f"%%gpu cpu {flags}\n{example.source}")
    return f"{shown.traceback}\n" if example.how == "raises" else shown.text()


def test_the_cells_of_the_page_do_what_it_says(tmp_path: Path) -> None:
    with live_kernel(tmp_path) as kernel:
        for example in examples():
            seen = run(kernel, example)
            assert seen == (example.shows or ""), example


def test_the_page_has_its_examples() -> None:
    assert len(examples()) >= 20 and sum(example.shows is not None for example in examples()) >= 8
