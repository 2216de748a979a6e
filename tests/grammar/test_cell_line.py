"""The `%%gpu` line and the directive: what is read, and what is refused with which hint."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_ext.grammar import CellRequest, GrammarError, NotYet, directive, parse_cell_line, parse_duration
from kernel_proxy import errors

READ: list[tuple[str, dict[str, Any]]] = [
    ("", {}),
    ("   ", {}),
    ("# only a comment", {}),
    ("A100", {"target": "A100"}),
    ("A100:2", {"target": "A100:2"}),
    ('"A100:2"', {"target": "A100:2"}),
    ("'>=24GB' -q", {"target": ">=24GB", "quiet": True}),
    (">=24GB:2", {"target": ">=24GB:2"}),
    ("H100,A100:2,any", {"target": "H100,A100:2,any"}),
    ("A100 # for now", {"target": "A100"}),
    ("-i a", {"inputs": (("a", "a"),)}),
    ("-i a,b --in c", {"inputs": (("a", "a"), ("b", "b"), ("c", "c"))}),
    ("-i there=here,x", {"inputs": (("there", "here"), ("x", "x"))}),
    ("--in=a", {"inputs": (("a", "a"),)}),
    ("-i 'a, b'", {"inputs": (("a", "a"), ("b", "b"))}),
    ("-i a -i a", {"inputs": (("a", "a"), ("a", "a"))}),
    ("-o a,b=c --out d", {"outputs": (("a", "a"), ("b", "c"), ("d", "d"))}),
    ("--keep a,b", {"keep": frozenset("ab")}),
    ("--only -i a", {"only": True, "inputs": (("a", "a"),)}),
    ("--no-out", {"no_out": True}),
    ("--bg", {"background": True}),
    ("--bg A100", {"background": True, "target": "A100"}),
    ("--bg=train A100", {"background": True, "background_name": "train", "target": "A100"}),
    ("--timeout 90", {"timeout_s": 90.0}),
    ("--timeout=2h A100", {"timeout_s": 7200.0, "target": "A100"}),
    ("--fresh --dry-run -q", {"fresh": True, "dry_run": True, "quiet": True}),
    ("--quiet", {"quiet": True}),
    ("A100 --no-wait", {"target": "A100", "no_wait": True}),
    ("-h", {"help": True}),
    ("A100 --help --max-cost 3", {"help": True}),
]

REFUSED = [
    ("--sesion x", "`--sesion` is no flag here", "the flags are"),
    ("--tiemout 3", "`--tiemout` is no flag here", "did you mean `--timeout`?"),
    ("--dryrun", "`--dryrun` is no flag here", "did you mean `--dry-run`?"),
    ("-x", "`-x` is no flag here", "the flags are `-i`"),
    ("-i", "`-i` has no value", "write `-i, --in SPEC`"),
    ("--timeout", "`--timeout` has no value", "write `--timeout T`"),
    ("--bg=", "`--bg` has no value", "write `--bg[=NAME]`"),
    ("--bg=3x", "`3x` is no variable name", ""),
    ("--nowait", "`--nowait` is no flag here", "did you mean `--no-wait`?"),
    ("--fresh=1", "`--fresh` takes no value, and got `1`", "write `--fresh` alone"),
    ("-q -q", "`-q` is given twice", "give it once"),
    ("--timeout 3 --timeout 4", "`--timeout` is given twice", ""),
    ("--timeout 5x", "`5x` is no duration", "`90s`"),
    ("--timeout 0", "a limit of `0` ends a run before it begins", "above zero"),
    ("--timeout -5", "`-5` is no duration", ""),
    ("--timeout inf", "`inf` is no duration", ""),
    ("-i 3x", "`3x` is no variable name", ""),
    ("-i a.b", "`a.b` is no variable name", ""),
    ("-i for", "`for` is no variable name", ""),
    ("-i a,", "a name is missing", "`a,b`"),
    ("-i a=", "a name is missing", ""),
    ("-i a=b=c", "`b=c` is no variable name", ""),
    ("-i a=b -i a=c", "`a` is given two values", ""),
    ("--keep a=b", "`a=b` is no variable name", ""),
    ("--only", "`--only` captures what `-i` names, and there is no `-i`", "leave `--only` out"),
    ("--no-out -o a", "`--no-out` brings nothing back", "leave one of them out"),
    ("--no-out --keep a", "`--no-out` brings nothing back", "leave one of them out"),
    ("--bg --dry-run", "`--dry-run` runs nothing", ""),
    ("-o a --keep a", "`a` cannot both come back", "name it once"),
    ("A100 H100", "one target is expected, and there are 2: `A100`, `H100`", "`A100,H100`"),
    ("A100, H100", "one target is expected", "`A100,H100`"),
    ("-i a, b", "a name is missing", ""),
    ("A100:0", "`A100:0` asks for `0` devices", "whole number"),
    (">=", "`>=` names no size of memory", "`>=24GB`"),
    ("''", "the target is empty", "write for example"),
    ("{gpu}", "`{gpu}` was not replaced by a value", "define `gpu` first"),
    ("A100 -i {x}", "`{x}` was not replaced by a value", "define `x` first"),
    ("$gpu", "the name in `$gpu` is undefined", "define `gpu` first"),
    ('"A100', 'a quote is not closed in `"A100`', "close it"),
    ("A100 \\", "the line ends with a backslash", "one line"),
]

PLANNED = [("--max-cost 3", "--max-cost"), ("A100 --max-cost=$3.50", "--max-cost")]


@pytest.mark.parametrize(("line", "fields"), READ, ids=[line for line, _ in READ])
def test_reads(line: str, fields: dict[str, Any]) -> None:
    assert parse_cell_line(line) == CellRequest(**fields)


@pytest.mark.parametrize(("line", "what", "hint"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refuses(line: str, what: str, hint: str) -> None:
    with pytest.raises(GrammarError) as error:
        parse_cell_line(line)
    assert what in error.value.message
    assert hint in error.value.hint
    assert str(error.value) == f"{error.value.message}\nhint: {error.value.hint}"


@pytest.mark.parametrize(("line", "flag"), PLANNED)
def test_what_is_planned_says_so(line: str, flag: str) -> None:
    with pytest.raises(NotYet, match=f"^`{flag}` is not there yet\nhint: ") as error:
        parse_cell_line(line)
    assert isinstance(error.value, errors.NotYet)


def test_a_bad_value_of_a_planned_flag_is_still_bad() -> None:
    with pytest.raises(GrammarError, match="is no amount of money"):
        parse_cell_line("--max-cost much")


@given(st.text(max_size=30))
def test_any_line_is_read_or_refused_with_a_hint(line: str) -> None:
    try:
        assert isinstance(parse_cell_line(line), CellRequest)
    except GrammarError as error:
        assert error.hint


DIRECTIVES = [
    ("#| gpu: A100 --keep m\nx", "A100 --keep m"),
    ("#|gpu:A100", "A100"),
    ("#| gpu:\nx", ""),
    ("#| gpu\nx", ""),
    ("  #| gpu : any\nx", "any"),
    ("# a note\n\n#| gpu: any\nx", "any"),
    ("#| label: fig\n#| gpu: any\nx", "any"),
    ("#| gpu: A100\r\nx", "A100"),
    ("x\n#| gpu: any", None),
    ("#| gpus: 3", None),
    ("# | gpu: 3", None),
    ("s = '''\n#| gpu: any\n'''", None),
    ("", None),
]


@pytest.mark.parametrize(("cell", "line"), DIRECTIVES)
def test_directive(cell: str, line: str | None) -> None:
    assert directive(cell) == line


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200), ("1.5h", 5400), (".5", 0.5), ("0", 0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1", "1d", "nan", "1e3", "1h30m", "10 m"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(GrammarError, match="is no duration\nhint: "):
        parse_duration(text)
