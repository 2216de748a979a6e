"""Names and line numbers of a cell's code, also of the code that its magics compile.

    cell -> CellCompiler.cache -> file name, source lines as the user wrote them
    `%%time`'s body -> CellCompiler -> code that stands in the cell, at the cell's lines

IPython compiles what `%time` and `%%time` are given under names that no traceback can show the source of.
Here it gets the cell's name, and its lines are counted from the top of the cell.
"""

from __future__ import annotations

import ast
import linecache
import sys
from types import FrameType
from typing import Any

from IPython.core.compilerop import CachingCompiler

TIMED = ("<timed exec>", "<timed eval>")
CELL_MAGIC, LINE_MAGIC = "run_cell_magic", "run_line_magic"


class CellCompiler(CachingCompiler):
    """A shell's compiler."""

    def cache(self, transformed_code: str, number: int = 0, raw_code: str | None = None) -> str:
        """Name a cell and keep its source, as written where a cell magic has swallowed lines."""
        name: str = super().cache(transformed_code, number, raw_code)
        written = (raw_code or "").splitlines(keepends=True)
        if len(written) > len(transformed_code.splitlines()):
            linecache.cache[name] = (len(raw_code or ""), None, written, name)
        return name

    def __call__(self, source: Any, filename: str, symbol: str, *args: Any, **kwargs: Any) -> Any:
        """Compile; what a timing magic was given is moved to where it stands in the cell."""
        if filename in TIMED and isinstance(source, ast.AST):
            file, lines = self.place(sys._getframe(1))
            if file:
                filename = file
                ast.increment_lineno(source, lines)
        return super().__call__(source, filename, symbol, *args, **kwargs)

    def place(self, frame: FrameType | None) -> tuple[str, int]:
        """Find the magic that is running, and where its code stands.

        Args:
            frame: Where to begin; its callers are searched.

        Returns:
            The cell's file name, and how many of its lines are above the magic's code; "", 0 outside magics.
        """
        magic = ""
        while frame is not None:
            name = frame.f_code.co_name
            if frame.f_code.co_filename in self._filename_map:
                before = frame.f_lineno - (magic != CELL_MAGIC)
                return (frame.f_code.co_filename, before) if magic else ("", 0)
            magic = name if name in (CELL_MAGIC, LINE_MAGIC) else magic
            frame = frame.f_back
        return "", 0
