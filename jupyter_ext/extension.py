"""`%load_ext warmcell`: puts the magics, the directive and the completer into a shell. Silent, no network.

    `%%gpu …` cell, `#| gpu: …` cell --transformer--> one call of the cell magic --> magics.py

The transformer runs before IPython's own. It turns a directive cell into a call that carries the whole cell, so that
line k of the source stays line k, and it lets an empty or misplaced `%%gpu` reach our own errors: IPython's for these
print no error output, and a notebook run would go on.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from jupyter_ext import completion, grammar
from jupyter_ext.cells import DIRECTIVE_MARK, MISPLACED_MARK
from jupyter_ext.magics import GpuMagics

_MAGIC = re.compile(r"^(?P<indent>[ \t]*)%%gpu(?=\s|$)(?P<line>.*)$")
_SKIPPED = re.compile(r"^\s*(#.*)?$")


def load(shell: InteractiveShell) -> None:
    """Put warmcell into a shell; loading it again replaces what was there."""
    unload(shell)
    shell.register_magics(GpuMagics(shell=shell))
    shell.input_transformers_cleanup.insert(0, transform)
    shell.events.register("post_run_cell", magics_of(shell).sweep)
    shell.Completer.custom_matchers.append(completion.matcher(magics_of(shell)))


def unload(shell: InteractiveShell) -> None:
    """Take warmcell out of a shell and close its connection; the runtime and its sessions live on."""
    magics = shell.magics_manager.registry.pop(GpuMagics.__name__, None)
    for kind in shell.magics_manager.magics.values():
        if magics is not None:
            kind.pop("gpu", None)
    for hooks, name in (
        (shell.input_transformers_cleanup, transform.__name__),
        (_matchers(shell), completion.NAME),
    ):
        hooks[:] = [hook for hook in hooks if getattr(hook, "__name__", "") != name]
    if magics is not None:
        with contextlib.suppress(ValueError):  # another extension may have taken it out
            shell.events.unregister("post_run_cell", magics.sweep)
        magics.close()


def magics_of(shell: InteractiveShell) -> GpuMagics:
    """Return the magics that were loaded into a shell."""
    return shell.magics_manager.registry[GpuMagics.__name__]


def transform(lines: list[str]) -> list[str]:
    """Turn a directive cell, and a `%%gpu` that IPython would refuse, into a call of the cell magic."""
    first = next((at for at, line in enumerate(lines) if not _SKIPPED.match(line)), None)
    magic = _MAGIC.match(lines[first].rstrip("\r\n")) if first is not None else None
    if first is not None and magic:
        return _magic_cell(lines, first, magic)
    cell = "".join(lines)
    directive = grammar.directive(cell)
    return lines if directive is None else _call(f"{DIRECTIVE_MARK} {directive}", cell)


def _magic_cell(lines: list[str], first: int, magic: re.Match[str]) -> list[str]:
    body = "".join(lines[first + 1 :])
    if magic["indent"] or any(line.strip() for line in lines[:first]):
        return _call(f"{MISPLACED_MARK} {first + 1} {magic['line'].strip()}", body or "\n")
    return lines if body else _call(magic["line"].strip(), "\n")


def _call(line: str, cell: str) -> list[str]:
    return [f"get_ipython().run_cell_magic('gpu', {line!r}, {cell!r})\n"]


def _matchers(shell: InteractiveShell) -> list[Callable[..., Any]]:
    return shell.Completer.custom_matchers if shell.Completer is not None else []
