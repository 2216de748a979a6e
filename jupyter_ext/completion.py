"""Completion on `%%gpu`, `%gpu` and `#| gpu:` lines: targets, flags, commands, sessions, runs and names.

    text before the cursor -> words -> what may stand there -> those that begin with the last word

Nothing here starts anything: targets and runs are offered as far as this kernel has met them, files of a session
only while it is open, and only if it answers at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from jupyter_ext import pathcompletion
from jupyter_ext.grammar import CELL_FLAGS, COMMANDS

if TYPE_CHECKING:
    from jupyter_ext.magics import GpuMagics

NAME = "warmcell_gpu"
_LINE = re.compile(r"^\s*(?:(?P<cell>%%gpu\s|#\|\s*gpu:)|(?:.*=\s*)?(?P<line>%gpu\s))(?P<rest>.*)$")
_HEADER = re.compile(r"\s*%%gpu(?P<rest>[ \t].*|)$", re.MULTILINE)
_TARGETS = ("any", "cpu", "A100", "A100-80GB", "H100", "L4", "T4")
_OF_NAMES = {"get", "put", "rm"}
_OF_RUNS = {"logs", "attach", "wait", "cancel"}


def matcher(magics: GpuMagics) -> Callable[[CompletionContext], SimpleMatcherResult]:
    """Return a matcher for IPython's completer.

    Args:
        magics: Whose targets, sessions and runs are offered.
    """

    @context_matcher(identifier=NAME)
    def match(context: CompletionContext) -> SimpleMatcherResult:
        before = context.text_until_cursor
        warm(magics, context.full_text, context.cursor_line, before)
        found = _LINE.match(before)
        if found is None:
            return {"completions": []}
        *words, last = re.split(r"[\s,=]+", found["rest"]) if found["rest"] else [""]
        choices = in_cell(magics) if found["cell"] else in_line(magics, words, last)
        cut = len(last) - len(context.token) if last.endswith(context.token) else 0
        fitting = [c for c in dict.fromkeys(choices) if c.startswith(last) and c != last]
        return {
            "completions": [SimpleCompletion(c[cut:], type="gpu") for c in fitting],
            "suppress": bool(fitting),
        }

    match.__name__ = NAME
    return match


def warm(magics: GpuMagics, cell: str, cursor_line: int, before: str) -> None:
    """Begin to warm what a cell's header names, once the header's target is written out.

    Args:
        magics: Whose kernel.
        cell: The whole cell.
        cursor_line: In which of its lines something is typed, from 0.
        before: What stands before the cursor in that line.
    """
    header = _HEADER.match(cell)
    if header is None:
        return
    first, _, more = header["rest"].strip().partition(" ")
    written_out = cursor_line > 0 or bool(more) or before.endswith(" ")
    if written_out:
        connection = magics.connection
        connection.ahead.begin(connection.target("" if first.startswith("-") else first), connection.defaults.wishes)


def in_cell(magics: GpuMagics) -> list[str]:
    """Return what may stand on a `%%gpu` line."""
    return [*_targets(magics), *_spellings(CELL_FLAGS), *_names(magics)]


def in_line(magics: GpuMagics, words: list[str], last: str = "") -> list[str]:
    """Return what may stand on a `%gpu` line after these words, with the beginning of the next."""
    if not words:
        return [name for name, form in COMMANDS.items() if not form.planned]
    form = COMMANDS.get(words[0])
    if form is None:
        return []
    operands = {"use": _targets, **dict.fromkeys(_OF_NAMES, _names), **dict.fromkeys(_OF_RUNS, _runs)}
    if words[-1] == "--session":
        return _sessions(magics)
    found = _OF_PATHS.get((words[0], len(words)))
    paths = found(magics, last) if found is not None and not last.startswith("-") else []
    return [*paths, *operands.get(words[0], lambda _: [])(magics), *_spellings(form.flags)]


def _here(magics: GpuMagics, last: str) -> list[str]:
    return pathcompletion.here(last)


def _there(magics: GpuMagics, last: str) -> list[str]:
    far = magics.existing.last if magics.existing is not None else None
    return pathcompletion.there(far, last) if far is not None else []


_OF_PATHS = {
    ("upload", 1): _here, ("upload", 2): _there, ("ls", 1): _there, ("download", 1): _there, ("download", 2): _here,
}  # fmt: skip
"""Command and words before the cursor -> paths of which side."""


def _spellings(flags: Iterable[Any]) -> list[str]:
    return [spelling for flag in flags if not flag.planned for spelling in flag.spellings]


def _targets(magics: GpuMagics) -> list[str]:
    connection = magics.existing
    met = (
        [d.model for far in connection.sessions for d in far.session.devices]
        if connection is not None
        else []
    )
    return [*dict.fromkeys([*(model for model in met if model and " " not in model), *_TARGETS])]


def _sessions(magics: GpuMagics) -> list[str]:
    return [far.session.name for far in magics.existing.sessions] if magics.existing is not None else []


def _runs(magics: GpuMagics) -> list[str]:
    jobs = magics.existing.jobs.values() if magics.existing is not None else ()
    return [word for job in jobs for word in (job.name, job.run_id) if word]


def _names(magics: GpuMagics) -> list[str]:
    hidden = magics.shell.user_ns_hidden
    return sorted(name for name in magics.shell.user_ns if not name.startswith("_") and name not in hidden)
