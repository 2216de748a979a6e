"""The magic line and the text below it -> a cell: what is asked for, and source whose line numbers are the reader's.

"A100 -q", body      -> Cell("#%%gpu A100 -q" + body)   a comment stands for the magic's own line
"#| A100 -q", cell   -> Cell(cell)                      a directive is a comment already
expression, line k   -> Cell(blank lines + expression)

What `--env` sets is taken out of the source, whose first line names the run in lists and logs.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from jupyter_ext import grammar
from jupyter_ext.grammar import CellRequest, GrammarError
from jupyter_ext.worlds import redacted

DIRECTIVE_MARK = "#|"
"""Begins the line that the transformer passes on for a directive cell."""

MISPLACED_MARK = "#misplaced"
"""Begins the line that the transformer passes on for a `%%gpu` that stands where IPython finds no magic."""


@dataclass(frozen=True)
class Cell:
    """A cell as it was typed.

    Args:
        request: What its magic line, or its directive, asks for.
        source: Python whose line k is line k of the cell.
        in_cell: Whether it is a whole cell, whose result is shown; else an expression, whose value is returned.
    """

    request: CellRequest
    source: str
    in_cell: bool = True


def read_cell(line: str, body: str) -> Cell:
    """Read what IPython, or our transformer, passes to the cell magic.

    Raises:
        GrammarError: The line cannot be read, stands in the wrong place, or has no cell below it.
    """
    if line.startswith(MISPLACED_MARK):
        raise _misplaced(line.removeprefix(MISPLACED_MARK))
    is_directive = line.startswith(DIRECTIVE_MARK)
    request = grammar.parse_cell_line(line.removeprefix(DIRECTIVE_MARK))
    if not body.strip() and not request.help:
        raise GrammarError(
            "the cell below `%%gpu` is empty",
            "put the code below it; `%gpu` alone shows targets and sessions",
        )
    if is_directive:
        typed = line.removeprefix(DIRECTIVE_MARK).strip()
        return Cell(request, body.replace(typed, redacted(typed), 1) if typed else body)
    return Cell(request, f"#%%gpu {redacted(line)}".rstrip() + f"\n{body}")


def read_expression(source: str) -> Cell:
    """Make a cell of an expression in the line that runs."""
    return Cell(CellRequest(), "\n" * (_line_now() - 1) + source.rstrip("; \n"), in_cell=False)


def _line_now() -> int:
    """Return the line of the notebook's cell that calls the magic; 1 where no cell does."""
    frame = sys._getframe()
    while frame is not None and "get_ipython" not in frame.f_globals:
        frame = frame.f_back
    return frame.f_lineno if frame is not None else 1


def _misplaced(rest: str) -> GrammarError:
    number, _, line = rest.strip().partition(" ")
    written = f"#| gpu: {line}".rstrip(": ")
    return GrammarError(
        f"`%%gpu` stands on line {number} of the cell or is indented, and a cell magic begins the first line",
        f"move it there, or write `{written}`, which may follow comments",
    )
