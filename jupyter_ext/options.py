"""Words and flags of a magic line, by table: text -> tokens -> operands and flag values.

A line is cut at blanks; quotes keep a word together and are dropped; `#` at the start of a word ends the
line. `scan` sorts the words by a table of `Flag`s and is the one place that answers unknown, doubled,
valueless and planned flags.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from keyword import iskeyword

from kernel_proxy import errors

_WORD = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[^\s"'])+)""")
_QUOTED = re.compile(r""""([^"]*)"|'([^']*)'""")
_DURATION = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(s|m|h)?")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_LEFT_OPEN = re.compile(r"\{[^{}]*\}")


class GrammarError(errors.WarmcellError, ValueError):
    """The magic line cannot be read."""


class NotYet(GrammarError, errors.NotYet):
    """The line is understood, and what it asks for is not there yet."""


Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Flag:
    """One flag of the grammar.

    Args:
        spellings: As written, the long one last: `('-i', '--in')`.
        help: One line for the manual.
        metavar: What its value is called; empty for a flag without value.
        read: Turns the value's text into the value; raises `GrammarError`.
        optional: Whether the value may be left out; it is then given as `--flag=value` only.
        repeats: Whether it may be given more than once; the values are added up.
        planned: Whether it is not there yet.
    """

    spellings: tuple[str, ...]
    help: str
    metavar: str = ""
    read: Callable[[str], object] = str
    optional: bool = False
    repeats: bool = False
    planned: bool = False

    @property
    def key(self) -> str:
        """The long spelling without its dashes."""
        return self.spellings[-1].lstrip("-")

    @property
    def usage(self) -> str:
        """The flag as the manual shows it."""
        value = f"[={self.metavar}]" if self.optional else f" {self.metavar}" if self.metavar else ""
        return ", ".join(self.spellings) + value


@dataclass
class Scanned:
    """The words of a line, sorted.

    Args:
        operands: Words that are no flags, in order.
        values: The value of each flag given, by its key; True for a flag without value.
        planned: Spellings of flags that are not there yet.
    """

    operands: list[str] = field(default_factory=list)
    values: dict[str, object] = field(default_factory=dict)
    planned: list[str] = field(default_factory=list)


def words(line: str) -> list[str]:
    """Cut a line into words.

    Args:
        line: What stands after the magic's name.

    Raises:
        GrammarError: A quote is not closed, the line goes on after a backslash, or IPython left a `{name}` in
            it.
    """
    found = []
    rest = line.rstrip()
    while rest.strip() and not rest.lstrip().startswith("#"):
        match = _WORD.match(rest)
        if match is None or match[1] == "":
            shown = "--env …" if "--env" in line else rest.strip()  # a variable's value is repeated nowhere
            raise GrammarError(f"a quote is not closed in `{shown}`", "close it, or leave quotes out")
        found.append(_QUOTED.sub(lambda quoted: quoted[1] or quoted[2] or "", match[1]))
        rest = rest[match.end() :]
    if found and found[-1].endswith("\\"):
        raise GrammarError(
            "the line ends with a backslash, and a magic line cannot go on in the next one",
            "put everything on one line",
        )
    _refuse_unexpanded(found)
    return found


def _refuse_unexpanded(found: Iterable[str]) -> None:
    for word in found:
        left = _LEFT_OPEN.search(word)
        if left is not None:
            raise GrammarError(
                f"`{left[0]}` was not replaced by a value: a name in the line's braces is undefined",
                f"define `{left[0].strip('{} ')}` first; IPython replaces none if one is undefined",
            )


def scan(line_words: Sequence[str], flags: Sequence[Flag]) -> Scanned:
    """Sort words into operands and flag values.

    Args:
        line_words: The words of a line.
        flags: The flags that are known here.

    Raises:
        GrammarError: A flag is unknown, doubled, or its value is missing, unwanted or bad.
    """
    table = {spelling: flag for flag in flags for spelling in flag.spellings}
    scanned = Scanned()
    rest = iter(line_words)
    for word in rest:
        if not word.startswith("-") or word == "-":
            scanned.operands.append(word)
            continue
        spelling, equals, text = word.partition("=")
        flag = table.get(spelling)
        if flag is None:
            raise GrammarError(f"`{spelling}` is no flag here", _did_you_mean(spelling, table))
        _store(scanned, flag, spelling, _text_of(flag, spelling, text if equals else None, rest))
    return scanned


def _text_of(flag: Flag, spelling: str, text: str | None, rest: Iterable[str]) -> str | None:
    if not flag.metavar:
        if text is not None:
            raise GrammarError(f"`{spelling}` takes no value, and got `{text}`", f"write `{spelling}` alone")
        return None
    if text is None and not flag.optional:
        text = next(iter(rest), None)
    if text == "" or (text is None and not flag.optional):
        raise GrammarError(f"`{spelling}` has no value", f"write `{flag.usage}`")
    return text


def _store(scanned: Scanned, flag: Flag, spelling: str, text: str | None) -> None:
    value = True if text is None else flag.read(text)
    if flag.planned:
        scanned.planned.append(spelling)
    elif flag.key not in scanned.values:
        scanned.values[flag.key] = value
    elif flag.repeats:
        scanned.values[flag.key] = scanned.values[flag.key] + value  # type: ignore[operator]
    else:
        raise GrammarError(f"`{spelling}` is given twice", "give it once")


def _did_you_mean(spelling: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(spelling, list(known), n=1, cutoff=0.7)
    if near:
        return f"did you mean `{near[0]}`?"
    return f"the flags are {', '.join(f'`{k}`' for k in known)}" if known else "it takes no flags"


# -- values ------------------------------------------------------------------------------------------------


def parse_duration(text: str) -> float:
    """Return a duration in seconds.

    Args:
        text: Seconds, or a number with a unit: `90`, `90s`, `10m`, `2h`.

    Raises:
        GrammarError: The text is no duration.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise GrammarError(f"`{text}` is no duration", "write seconds, or a unit: `90`, `90s`, `10m`, `2h`")
    return float(match[1]) * _SECONDS[match[2]]


def duration_text(text: str) -> str:
    """Return a duration's own text once it is known to be one."""
    parse_duration(text)
    return text


def limit_duration(text: str) -> float:
    """Return a duration above zero, in seconds."""
    seconds = parse_duration(text)
    if seconds <= 0:
        raise GrammarError(f"a limit of `{text}` ends a run before it begins", "give a duration above zero")
    return seconds


def amount(text: str) -> float:
    """Return an amount of money."""
    try:
        value = float(text.lstrip("$"))
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise GrammarError(f"`{text}` is no amount of money", "write a number such as `5.00`")
    return value


def name(text: str) -> str:
    """Return a Python name."""
    if not text:
        raise GrammarError(
            "a name is missing next to a comma or `=`",
            "write names, separated by commas without blanks: `a,b`",
        )
    if not text.isidentifier() or iskeyword(text):
        raise GrammarError(
            f"`{text}` is no variable name", "write names, separated by commas without blanks: `a,b`"
        )
    return text


def names(text: str) -> frozenset[str]:
    """Return the names of a comma list."""
    return frozenset(name(part.strip()) for part in text.split(","))


def pairs(text: str) -> Pairs:
    """Return the (destination, source) pairs of a SPEC: `a,b` or `dest=src`."""
    found = []
    for part in text.split(","):
        destination, equals, source = part.partition("=")
        found.append((name(destination.strip()), name((source if equals else destination).strip())))
    return tuple(found)
