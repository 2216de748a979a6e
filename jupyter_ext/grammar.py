"""The grammar of `%%gpu` and `%gpu`: magic line -> request, command or expression.

Everything is in two tables: the flags of a cell, and the commands with their operands and flags. They are
read by `parse_cell_line` and `parse_line`, and `help_text` writes the manual from them. Nothing here looks at
a notebook or a runtime; a line that cannot be read is a `GrammarError` before anything starts.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from jupyter_ext import options
from jupyter_ext.forms import CELL_FLAGS, COMMANDS, HELP_FLAG, CommandForm, help_text, target, usage
from jupyter_ext.options import GrammarError, NotYet, Pairs, Scanned, parse_duration
from jupyter_ext.worlds import redacted

__all__ = [
    "CellRequest",
    "Command",
    "Expression",
    "GrammarError",
    "NotYet",
    "directive",
    "help_text",
    "parse_cell_line",
    "parse_duration",
    "parse_line",
]

_DIRECTIVE = re.compile(r"#\|\s*gpu\s*(?::(?P<line>.*))?")


@dataclass(frozen=True)
class CellRequest:
    """What a `%%gpu` line asks for.

    Args:
        target: The target as typed, None for the default.
        inputs: (destination there, source here) of names captured by `-i`.
        outputs: (destination here, source there) of names that must come back.
        keep: Names that stay there as handles.
        only: Whether exactly the inputs travel.
        no_out: Whether nothing comes back.
        background: Whether the cell returns at once.
        background_name: The name of the run in the background.
        timeout_s: Seconds until the run is stopped, None for no limit.
        max_cost: The most the run may cost, None for no limit.
        no_wait: Whether a device that somebody holds is an error.
        image: What names the image of its session, None for the notebook's.
        fresh: Whether every captured name is shipped again.
        dry_run: Whether only the plan is shown.
        quiet: Whether there is no status and no receipt.
        env: Variables of the run, which do not show their values.
        secrets: Names of secrets whose variables the run is given.
        help: Whether the manual is asked for; the rest then says nothing.
    """

    target: str | None = None
    inputs: Pairs = ()
    outputs: Pairs = ()
    keep: frozenset[str] = frozenset()
    only: bool = False
    no_out: bool = False
    background: bool = False
    background_name: str | None = None
    timeout_s: float | None = None
    max_cost: float | None = None
    no_wait: bool = False
    image: str | None = None
    fresh: bool = False
    dry_run: bool = False
    quiet: bool = False
    env: Pairs = field(default=(), repr=False)
    secrets: tuple[str, ...] = ()
    help: bool = False


@dataclass(frozen=True)
class Command:
    """A subcommand of `%gpu`.

    Args:
        name: Its name.
        args: Its operands.
        options: Its flags by their long spelling without dashes; the value as its flag reads it, or True.
    """

    name: str
    args: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Expression:
    """An expression whose value `%gpu` returns.

    Args:
        source: Its text, as typed.
    """

    source: str


# -- the cell's line ---------------------------------------------------------------------------------------


def parse_cell_line(line: str) -> CellRequest:
    """Return what a `%%gpu` line, or the rest of a `#| gpu:` line, asks for.

    Args:
        line: What stands after `%%gpu` or after the directive's colon.

    Raises:
        GrammarError: The line cannot be read, or contradicts itself.
        NotYet: It asks for what is not there yet.
    """
    scanned = options.scan(options.words(line), CELL_FLAGS)
    given: dict[str, Any] = scanned.values
    if "help" in given:
        return CellRequest(help=True)
    _refuse_planned(scanned)
    background = given.get("bg", False)
    request = CellRequest(
        target=_only_target(scanned.operands),
        inputs=given.get("in", ()),
        outputs=given.get("out", ()),
        keep=given.get("keep", frozenset()),
        only="only" in given,
        no_out="no-out" in given,
        background=bool(background),
        background_name=background if isinstance(background, str) else None,
        timeout_s=given.get("timeout"),
        no_wait="no-wait" in given,
        image=given.get("image"),
        fresh="fresh" in given,
        dry_run="dry-run" in given,
        quiet="quiet" in given,
        env=given.get("env", ()),
        secrets=given.get("secret", ()),
    )
    _refuse_contradictions(request)
    return request


def _only_target(operands: Sequence[str]) -> str | None:
    if len(operands) > 1:
        shown = ", ".join(f"`{operand}`" for operand in operands)
        joined = ",".join(operand.strip(",") for operand in operands)
        raise GrammarError(
            f"one target is expected, and there are {len(operands)}: {shown}",
            f"write a list of targets without blanks, `{joined}`, and names after `-i` or `-o`",
        )
    return target(operands[0]) if operands else None


def _refuse_planned(scanned: Scanned) -> None:
    if scanned.planned:
        raise NotYet(f"`{scanned.planned[0]}` is not there yet", "leave it out")


def _refuse_contradictions(request: CellRequest) -> None:
    back = {destination for destination, _ in request.outputs}
    doubled = sorted(_doubled(request.inputs) | _doubled(request.outputs))
    both = sorted({source for _, source in request.outputs} & request.keep)
    contradictions = (
        (
            request.only and not request.inputs,
            "`--only` captures what `-i` names, and there is no `-i`",
            "name the inputs with `-i`, or leave `--only` out",
        ),
        (
            request.no_out and bool(back or request.keep),
            "`--no-out` brings nothing back, and `-o` or `--keep` asks for it",
            "leave one of them out",
        ),
        (
            request.background and request.dry_run,
            "`--dry-run` runs nothing, so there is nothing for `--bg`",
            "leave one of them out",
        ),
        (
            bool(both),
            f"`{', '.join(both)}` cannot both come back by `-o` and stay there by `--keep`",
            "name it once",
        ),
        (bool(doubled), f"`{', '.join(doubled)}` is given two values by `-i` or `-o`", "name it once"),
    )
    for holds, what, hint in contradictions:
        if holds:
            raise GrammarError(what, hint)


def _doubled(pairs: Pairs) -> set[str]:
    sources: dict[str, set[str]] = {}
    for destination, source in pairs:
        sources.setdefault(destination, set()).add(source)
    return {destination for destination, from_names in sources.items() if len(from_names) > 1}


def directive(cell: str) -> str | None:
    """Return the flags of a cell that says `#| gpu: …`, None for any other cell.

    Args:
        cell: The whole cell. The directive stands among the comments at its top.
    """
    for line in cell.splitlines():
        text = line.strip()
        match = _DIRECTIVE.fullmatch(text)
        if match is not None:
            return (match["line"] or "").strip()
        if text and not text.startswith("#"):
            return None
    return None


# -- the line form -----------------------------------------------------------------------------------------


def parse_line(line: str) -> Command | Expression:
    """Return what a `%gpu` line asks for.

    What is no command by its whole grammar is an expression: `vars` is a command, `vars + 1` and `(vars)` are
    not.

    Args:
        line: What stands after `%gpu`.

    Raises:
        GrammarError: The line is neither a command nor an expression.
        NotYet: The command is not there yet.
    """
    source = line.strip()
    if not source or source.startswith("#"):
        return Command("status")
    try:
        return _command(source.rstrip("; "))
    except NotYet:
        raise
    except GrammarError:
        if source in COMMANDS or not _is_expression(source):
            raise
        return Expression(source)


def _command(source: str) -> Command:
    name, *rest = options.words(source) or [""]
    if name in ("-h", "--help"):
        return Command("help")
    form = COMMANDS.get(name) if source.startswith(name) else None  # `'vars'` is a string
    if form is None:
        near = difflib.get_close_matches(name, list(COMMANDS), n=1)
        elsewhere = "put statements in a `%%gpu` cell; `%gpu -h` lists the commands"
        hint = f"did you mean `%gpu {near[0]}`?" if near else elsewhere
        raise GrammarError(f"`{redacted(source)}` is neither a command of `%gpu` nor an expression", hint)
    if form.is_raw and rest and rest[0] not in HELP_FLAG.spellings:
        return Command(name, tuple(rest))
    scanned = options.scan(rest, (*form.flags, HELP_FLAG))
    if "help" in scanned.values:
        return Command("help", (name,))
    args = _operands(name, form, scanned)
    if form.planned:
        raise NotYet(f"`%gpu {name}` is not there yet", "`%gpu -h` lists what is")
    _refuse_planned(scanned)
    return Command(name, args, MappingProxyType(dict(scanned.values)))


def _operands(name: str, form: CommandForm, scanned: Scanned) -> tuple[str, ...]:
    given = scanned.operands
    how = f"write `{usage(name, form)}`"
    if form.metavar and not given:
        hint = f"{how}; `%gpu ({name})` is the value of `{name}`"
        raise GrammarError(f"`%gpu {name}` needs {form.metavar}", hint)
    if len(given) > form.most and not form.is_many:
        raise GrammarError(f"`%gpu {name}` does not take `{given[-1]}`", how)
    return form.read(given)


def _is_expression(source: str) -> bool:
    try:
        compile(
            source.rstrip("; "), "<expression>", "eval", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
        )
    except (SyntaxError, ValueError):
        return False
    return True
