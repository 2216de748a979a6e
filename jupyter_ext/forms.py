"""The two tables of the grammar: the flags of a `%%gpu` cell, and the commands of `%gpu`.

`grammar` reads lines by these tables, and `help_text` writes the manual from them, so that the two cannot
differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from jupyter_ext import options
from jupyter_ext.options import Flag, GrammarError
from jupyter_ext.worlds import ENV, FLAGS_OF_USE, SECRET
from remote_runtime.wire.data import TRUSTS
from remote_runtime.wire.targets import parse_target

HELP_FLAG = Flag(("-h", "--help"), "show this manual")


@dataclass(frozen=True)
class CommandForm:
    """One row of the table of commands.

    Args:
        help: One line for the manual.
        metavar: What its operands are called; empty for none, `…` at the end for one or more.
        flags: Its flags.
        read: Checks the operands and returns them as they are used.
        planned: Whether it is not there yet.
        extra: What one more operand is called, which may always be missing; empty for none, `…` at the end for more.
        is_raw: Whether its words are another program's, flags among them.
    """

    help: str
    metavar: str = ""
    flags: tuple[Flag, ...] = ()
    read: Callable[[Sequence[str]], tuple[str, ...]] = tuple
    planned: bool = False
    extra: str = ""
    is_raw: bool = False

    @property
    def most(self) -> int:
        """How many operands it takes, unless it takes many."""
        return bool(self.metavar) + bool(self.extra)

    @property
    def is_many(self) -> bool:
        """Whether it takes any number of operands."""
        return f"{self.metavar}{self.extra}".endswith("…")


def target(text: str) -> str:
    """Return a target's own text once it is known to be one."""
    try:
        parse_target(text)
    except ValueError as error:
        what, _, hint = str(error).partition("\nhint: ")
        raise GrammarError(what, hint) from None
    return text


def _targets(operands: Sequence[str]) -> tuple[str, ...]:
    return tuple(target(operand) for operand in operands)


def _place(operands: Sequence[str]) -> tuple[str, ...]:
    for operand in operands:
        if operand != "local" and not operand.startswith(("ssh://", "https://", "http://")):
            raise GrammarError(f"`{operand}` is no place to connect to", "write ssh://user@host, https://… or `local`")
    return tuple(operands)


def _names(operands: Sequence[str]) -> tuple[str, ...]:
    parts = [part for operand in operands for part in operand.rstrip(",").split(",")]
    return tuple(dict.fromkeys(options.name(part) for part in parts))


def _trust(text: str) -> str:
    if text not in TRUSTS:
        raise GrammarError(f"`--trust {text}` is neither `all` nor `data`", "write `--trust data` to take data alone")
    return text


CELL_FLAGS: tuple[Flag, ...] = (
    Flag(
        ("-i", "--in"), "capture these names too: `a,b`, or `there=here`", "SPEC", options.pairs, repeats=True
    ),
    Flag(
        ("-o", "--out"),
        "bring these names back whatever their size: `a,b`, or `here=there`",
        "SPEC",
        options.pairs,
        repeats=True,
    ),
    Flag(("--keep",), "leave these names there, as handles", "NAMES", options.names),
    Flag(("--only",), "capture exactly what `-i` names"),
    Flag(("--no-out",), "bring nothing back"),
    Flag(("--bg",), "return at once; the run goes on in the background", "NAME", options.name, optional=True),
    Flag(
        ("--timeout",), "stop the run after this time: `90`, `90s`, `10m`, `2h`", "T", options.limit_duration
    ),
    Flag(("--max-cost",), "stop the run before it costs more", "X", options.amount, planned=True),
    Flag(("--no-wait",), "fail rather than queue for a device that somebody holds"),
    Flag(("--image",), "run in a session of this image: a variable, a requirements file, or a tag", "I"),
    Flag(("--fresh",), "ship every captured name again"),
    Flag(("--dry-run",), "show what would travel, and run nothing"),
    ENV,
    SECRET,
    Flag(("-q", "--quiet"), "no status line and no receipt"),
    HELP_FLAG,
)

_USE_FLAGS = (
    Flag(("--session",), "share a session by its name", "S"),
    Flag(("--idle",), "release the session after this time without a run", "T", options.duration_text),
    Flag(("--no-wait",), "let the cells fail rather than queue for a device that somebody holds"),
    Flag(("--image",), "the image that workers run in: a variable, a requirements file, a tag, or `none`", "I"),
    Flag(("--trust",), "what is taken from workers: `all`, or `data` alone, which runs nothing here", "T", _trust),
    Flag(("--budget",), "stop when this much is spent", "X", options.amount, planned=True),
    *FLAGS_OF_USE,
)
_PUBLISH_FLAGS = (
    Flag(("--name",), "the endpoint's name", "N"),
    Flag(("--gpu",), "the target of its replicas", "T", target),
    Flag(("--min",), "the fewest replicas", "N"),
    Flag(("--max",), "the most replicas", "N"),
)

COMMANDS: Mapping[str, CommandForm] = {
    "use": CommandForm(
        "what the cells that follow use; alone it shows that",
        flags=_USE_FLAGS,
        read=_targets,
        extra="TARGET",
    ),
    "connect": CommandForm(
        "where cells run; WHERE is `ssh://user@host`, an https address, or `local`", extra="WHERE", read=_place
    ),
    "pip": CommandForm("add packages to the image, and to the session where that is safe", "install…", is_raw=True),
    "ps": CommandForm("the runs"),
    "logs": CommandForm("what a run has put out", "RUN"),
    "attach": CommandForm("replay a run's output and follow it", "RUN"),
    "wait": CommandForm("wait for a run's end", "RUN"),
    "cancel": CommandForm("stop a run", "RUN", (Flag(("--kill",), "kill its process"),)),
    "cost": CommandForm("what was spent", flags=(Flag(("--csv",), "as CSV"),), planned=True),
    "env": CommandForm(
        "Python and packages there", flags=(Flag(("--diff",), "only what differs from here"),)
    ),
    "vars": CommandForm("the names there, with type, size and device"),
    "get": CommandForm(
        "bring names here",
        "NAMES…",
        (Flag(("--trust",), "whatever they are, where data alone is taken otherwise"),),
        read=_names,
    ),
    "put": CommandForm("ship names there", "NAMES…", read=_names),
    "rm": CommandForm("remove names there", "NAMES…", read=_names),
    "ls": CommandForm("the files in the session's working directory", extra="PATH"),
    "upload": CommandForm("send a file or folder there; what is there already is not sent", "PATH", extra="THERE"),
    "download": CommandForm(
        "bring a file or folder here",
        "PATH",
        (Flag(("--force",), "overwrite files here that differ"),),
        extra="HERE",
    ),
    "secret": CommandForm("the secrets that the runtime keeps; `NAME VARIABLE…` makes one, and asks for the values",
                          flags=(Flag(("--overwrite",), "replace one of that name"),), extra="NAME…"),  # fmt: skip
    "free": CommandForm("give memory back that no name holds"),
    "stop": CommandForm("end the session; its names are lost"),
    "doctor": CommandForm("check the way to the runtime"),
    "tb": CommandForm("the last traceback", flags=(Flag(("--full",), "with the runtime's own frames"),)),
    "publish": CommandForm("make a function an HTTP endpoint", "FUNC", _PUBLISH_FLAGS, planned=True),
}


def help_text() -> str:
    """Return the manual of `%%gpu` and `%gpu`."""
    cell = [(flag.usage, flag.help + _later(flag.planned)) for flag in CELL_FLAGS]
    commands = [("%gpu", "target, sessions and runs")] + [
        (usage(name, form), form.help + _later(form.planned)) for name, form in COMMANDS.items()
    ]
    return "\n".join(
        [
            "Run a cell, or an expression, on a warm worker.",
            "",
            "%%gpu [TARGET] [flags]        the cell below runs there",
            "#| gpu: TARGET [flags]        the same, as a comment at the cell's top",
            "y = %gpu f(x)                 the value of an expression; `%gpu (vars)` forces it",
            "",
            "TARGET is `A100`, `A100:2`, `A100-80GB`, `>=24GB`, `any`, `cpu`, or a list such as `A100,any`.",
            "",
            *_table(cell),
            "",
            *_table(commands),
        ]
    )


def usage(name: str, form: CommandForm) -> str:
    """Return a command as the manual shows it."""
    flags = [f"[{flag.usage}]" for flag in form.flags]
    extra = f"[{form.extra}]" if form.extra else ""
    return " ".join(part for part in ("%gpu", name, form.metavar, extra, *flags) if part)


def _later(planned: bool) -> str:
    return " (not there yet)" if planned else ""


def _table(rows: Sequence[tuple[str, str]]) -> list[str]:
    width = min(max(len(usage) for usage, _ in rows), 28)
    return [f"  {usage.ljust(width)}  {text}" for usage, text in rows]
