"""Cells that are plain Python already: IPython's transformers would go through their tokens and change nothing.

source --parses, begins with no bare expression, nothing added to IPython--> as it is
       --else--> IPython's own way

A lone expression may be a magic without its `%`, or `exit`; all else that IPython knows is no Python. Transformers that
the user has added see every cell.
"""

from __future__ import annotations

import ast

from IPython.core.interactiveshell import InteractiveShell

_FIRST = (
    ast.Assign, ast.AugAssign, ast.Delete, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef,
    ast.ClassDef, ast.For, ast.While, ast.If, ast.With, ast.Try, ast.Assert,
)  # fmt: skip
_UNSURE = ("\\", "In [")
"""An escape may make the parser warn, which it shall do once; a pasted prompt parses as an annotation."""


class PlainCells:
    """Recognizes them.

    Args:
        shell: As it was built; what is added to it later is noticed.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._stock = self._transformers()

    def holds(self, source: str) -> bool:
        """Tell whether a cell is one."""
        if any(part in source for part in _UNSURE) or self._transformers() != self._stock:
            return False
        try:
            first = ast.parse(source).body[:1]
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
        return bool(first) and isinstance(first[0], _FIRST)

    def _transformers(self) -> tuple[list[object], ...]:
        manager, prefilter = self._shell.input_transformer_manager, self._shell.prefilter_manager
        lists = (manager.cleanup_transforms, manager.line_transforms, manager.token_transformers)
        return (*map(list, (*lists, self._shell.input_transformers_post, prefilter.transformers, prefilter.checkers)),)
