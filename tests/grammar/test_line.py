"""The `%gpu` line: a command by its whole grammar, else an expression, else an error with a hint."""

from __future__ import annotations

import pytest

from jupyter_ext import grammar
from jupyter_ext.forms import CELL_FLAGS, COMMANDS
from jupyter_ext.grammar import Command, Expression, GrammarError, NotYet, parse_line
from remote_runtime.wire.specs import Mount, VolumeMount

COMMAND_LINES = [
    ("", Command("status")),
    ("  # nothing", Command("status")),
    ("-h", Command("help")),
    ("--help", Command("help")),
    ("use -h", Command("help", ("use",))),
    ("use A100", Command("use", ("A100",))),
    ("use 'A100:2'", Command("use", ("A100:2",))),
    ("use A100 --session s --idle 10m", Command("use", ("A100",), {"session": "s", "idle": "10m"})),
    ("use A100 --no-wait", Command("use", ("A100",), {"no-wait": True})),
    ("use --idle=0", Command("use", (), {"idle": "0"})),
    ("use", Command("use")),
    ("use --conda x --mount /data:in:ro --volume m:models", Command("use", (), {
        "conda": "x", "mount": (Mount("/data", "in", False),), "volume": (VolumeMount("m", "models"),)})),
    ("use --env A=1 --env B= --secret a,b --secret c", Command("use", (), {
        "env": (("A", "1"), ("B", "")), "secret": ("a", "b", "c")})),
    ("use --reset", Command("use", (), {"reset": True})),
    ("secret hub HF_TOKEN", Command("secret", ("hub", "HF_TOKEN"))),
    ("ps", Command("ps")),
    ("ps;", Command("ps")),
    ("ps  # all", Command("ps")),
    ("logs r1", Command("logs", ("r1",))),
    ("attach 3f-2", Command("attach", ("3f-2",))),
    ("wait r1", Command("wait", ("r1",))),
    ("cancel r1", Command("cancel", ("r1",))),
    ("cancel r1 --kill", Command("cancel", ("r1",), {"kill": True})),
    ("env", Command("env")),
    ("env --diff", Command("env", (), {"diff": True})),
    ("vars", Command("vars")),
    ("get a", Command("get", ("a",))),
    ("get a b,c, d", Command("get", ("a", "b", "c", "d"))),
    ("get a a", Command("get", ("a",))),
    ("put a", Command("put", ("a",))),
    ("rm a b", Command("rm", ("a", "b"))),
    ("free", Command("free")),
    ("stop", Command("stop")),
    ("doctor", Command("doctor")),
    ("tb", Command("tb")),
    ("tb --full", Command("tb", (), {"full": True})),
]

EXPRESSION_LINES = [
    "f(x)", "x", "pss", "status", "help", "(vars)", "vars + 1", "vars.x", "vars[0]", "free()", "get(x)", "env - 1", "wait -1",
    "get is None", "get in names", "stop or x", "ps if c else d", "await q()", "lambda: 1", "x;", "f('{x}')", "d['a']  # c",
    "[a for a in b]", "x == 1", "-x", "'vars'", "use(x)", "logs == r",
]  # fmt: skip

REFUSED = [
    ("logs", "`%gpu logs` needs RUN", "write `%gpu logs RUN`"),
    ("get", "`%gpu get` needs NAMES…", "write `%gpu get NAMES… [--trust]`"),
    ("publish", "`%gpu publish` needs FUNC", ""),
    ("use A100 H100", "`%gpu use` does not take `H100`", "write `%gpu use [TARGET]"),
    ("use A100:0", "`A100:0` asks for `0` devices", ""),
    ("use {gpu}", "`{gpu}` was not replaced", "define `gpu` first"),
    ("use A100 --sesion s", "`--sesion` is no flag here", "did you mean `--session`?"),
    ("use A100 --idle soon", "`soon` is no duration", ""),
    ("use A100 --idle", "`--idle` has no value", "write `--idle T`"),
    ("ps now", "`%gpu ps` does not take `now`", "write `%gpu ps`"),
    ("cancel r1 --kil", "`--kil` is no flag here", "did you mean `--kill`?"),
    ("get 3x", "`3x` is no variable name", ""),
    ("get x, ,y", "a name is missing", ""),
    ("uze A100", "`uze A100` is neither a command of `%gpu` nor an expression", "did you mean `%gpu use`?"),
    ("y = f(x)", "`y = f(x)` is neither a command of `%gpu` nor an expression", "`%%gpu` cell"),
    ("f(", "`f(` is neither a command of `%gpu` nor an expression", ""),
    ("use 'A100", "a quote is not closed", ""),
    ("use --env 1A=x", "`1A` is no name of an environment variable", "--env NAME=VALUE"),
    ("use --env NOT_SET_ANYWHERE", "`NOT_SET_ANYWHERE` is not set here", "--env NOT_SET_ANYWHERE=VALUE"),
    ("use --env CUDA_VISIBLE_DEVICES=1", "is set by the runtime", ""),
    ("use --mount data", "`data` is no mount", "`/data:TARGET`"),
    ("use --volume m:", "`m:` is no volume", "`models:models`"),
    ("use --secret a/b", "`a/b` is no name", ""),
]


@pytest.mark.parametrize(("line", "command"), COMMAND_LINES, ids=[line for line, _ in COMMAND_LINES])
def test_commands(line: str, command: Command) -> None:
    assert parse_line(line) == command


@pytest.mark.parametrize("line", EXPRESSION_LINES)
def test_expressions(line: str) -> None:
    assert parse_line(f" {line} ") == Expression(line)


@pytest.mark.parametrize(("line", "what", "hint"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refuses(line: str, what: str, hint: str) -> None:
    with pytest.raises(GrammarError) as error:
        parse_line(line)
    assert what in error.value.message
    assert hint in error.value.hint


@pytest.mark.parametrize(
    ("line", "what"),
    [("cost", "%gpu cost"), ("publish f", "%gpu publish"), ("publish f --gpu A100 --min 0", "%gpu publish"),
     ("use --budget 5.00", "--budget")],
)  # fmt: skip
def test_what_is_planned_says_so(line: str, what: str) -> None:
    with pytest.raises(NotYet, match=f"^`{what}` is not there yet\nhint: "):
        parse_line(line)


def test_the_manual_names_every_flag_and_command() -> None:
    manual = grammar.help_text()
    assert all(flag.usage in manual for flag in CELL_FLAGS)
    assert all(f"%gpu {name}" in manual for name in COMMANDS)
    assert manual.count("(not there yet)") == 3


def test_no_command_hides_a_flag_of_its_own() -> None:
    for form in (*COMMANDS.values(),):
        spellings = [spelling for flag in form.flags for spelling in flag.spellings]
        assert len(spellings) == len(set(spellings)) and "--help" not in spellings
