"""What `%gpu use` says of the worker itself: its Python, what it sees, what it is given. Flags -> Wishes -> words.

    --python, --conda, --venv, --mount, --volume -> Environment      a session of its own for each
    --share, --exclusive                         -> how much of a device, for a session that is opened from now on
    --env, --secret                              -> variables        of the session, or of one run on `%%gpu`

The value of a variable is shown nowhere: neither in a report nor in what is kept of the cell's text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from jupyter_ext.options import Flag, GrammarError, Pairs
from kernel_proxy.gates import SECRET_WORDS, words
from kernel_proxy.hidden import Hidden, Typed
from kernel_proxy.wishes import NONE, Wishes
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import versions
from remote_runtime.wire.settingnames import name_problem, variable_problem
from remote_runtime.wire.specs import Mount, VolumeMount
from remote_runtime.wire.targets import format_size, parse_share

_ENV = re.compile(
    r"""(?P<flag>(?<!\S)--env(?:=|\s+))
    (?:"(?P<a>\w+)=[^"]*"|'(?P<b>\w+)=[^']*'|(?P<c>\w+)=)(?:"[^"]*"|'[^']*'|[^\s"'])*""",
    re.VERBOSE,
)
_READ_ONLY = ":ro"


# -- values of flags ---------------------------------------------------------------------------------------


def variable(text: str) -> Pairs:
    """Return a variable and its value: `NAME=VALUE`, or `NAME` alone for the kernel's own."""
    name, equals, value = text.partition("=")
    wrong = variable_problem(name)
    if wrong:
        raise GrammarError(wrong, "write `--env NAME=VALUE`, or `--env NAME` for the value that it has here")
    if not equals and name not in os.environ:
        raise GrammarError(f"`--env {name}` has no value, and `{name}` is not set here", f"write `--env {name}=VALUE`")
    return ((name, Typed(value) if equals else Hidden(os.environ[name])),)


def secret(text: str) -> tuple[str, ...]:
    """Return the name of a secret, or several that are parted by commas."""
    names = tuple(text.split(","))
    for name in names:
        if name_problem(name):
            raise GrammarError(name_problem(name), "`warmcell secret list` shows the names")
    return names


def mount(text: str) -> tuple[Mount, ...]:
    """Return a directory of the runtime's host and where it is seen: `/data`, `/data:/mnt`, `/data:ro`."""
    asked = text.removesuffix(_READ_ONLY)
    source, colon, target = asked.partition(":")
    if not source.startswith("/") or (colon and not target):
        raise GrammarError(f"`{text}` is no mount", "write `/data`, `/data:TARGET`, or `/data:ro`")
    return (Mount(source, target or source, asked == text),)


def volume(text: str) -> tuple[VolumeMount, ...]:
    """Return a volume and where it is seen: `NAME:/path`, `NAME:folder`, or `NAME` for a folder of its name."""
    asked = text.removesuffix(_READ_ONLY)
    name, colon, target = asked.partition(":")
    if name_problem(name) or (colon and not target):
        raise GrammarError(f"`{text}` is no volume", "write `NAME:TARGET`, such as `models:models`")
    return (VolumeMount(name, target or name, asked != text),)


def share(text: str) -> int:
    """Return a share of a device's memory, in bytes."""
    try:
        return parse_share(text)
    except ValueError as error:
        what, _, hint = str(error).partition("\nhint: ")
        raise GrammarError(what, hint) from None


ENV = Flag(("--env",), "set a variable: `NAME=VALUE`, or `NAME` as it is here", "NAME[=VALUE]", variable, repeats=True)
SECRET = Flag(("--secret",), "set the variables of a secret that the runtime keeps", "NAME", secret, repeats=True)

FLAGS_OF_USE: tuple[Flag, ...] = (
    Flag(("--python",), "run in this Python of the runtime's host: its path, or a version such as `3.12`", "PATH"),
    Flag(("--conda",), "run in a conda environment of the runtime's host", "NAME"),
    Flag(("--venv",), "run in a virtual environment of the runtime's host", "DIR"),
    Flag(("--mount",), "see a directory of the runtime's host, of those its admin lists", "DIR[:TARGET][:ro]", mount,
         repeats=True),
    Flag(("--volume",), "see a volume", "NAME[:TARGET][:ro]", volume, repeats=True),
    Flag(("--block-network",), "reach no network"),
    Flag(("--share",), "take so much of a device's memory, and leave the rest to others: `20GB`", "SIZE", share),
    Flag(("--exclusive",), "share no device with others"),
    ENV,
    SECRET,
    Flag(("--reset",), "forget what was chosen before"),
)  # fmt: skip
"""What `%gpu use` can say beside target and session."""

_PYTHON: Mapping[str, Callable[[str], str]] = {
    "python": lambda text: text,
    "conda": lambda text: f"conda:{text}",
    "venv": lambda text: f"venv:{text if text.startswith('~') else os.path.abspath(text)}",
}


# -- wishes ------------------------------------------------------------------------------------------------


def wished(options: Mapping[str, Any], before: Wishes) -> Wishes:
    """Return what holds after a `%gpu use`: what it says, beside what was said before.

    Raises:
        GrammarError: It names more than one Python, or both a share and none.
    """
    named = [key for key in _PYTHON if key in options]
    if len(named) > 1:
        flags = " and ".join(f"`--{key}`" for key in named)
        raise GrammarError(f"{flags} each name a Python, and a worker has one", "leave one of them out")
    if "share" in options and "exclusive" in options:
        raise GrammarError("`--share` leaves room for others, and `--exclusive` does not", "leave one of them out")
    before = NONE if "reset" in options else before
    old = before.environment
    environment = replace(
        old,
        python=_PYTHON[named[0]](options[named[0]]) if named else old.python,
        mounts=_added(old.mounts, options.get("mount", ())),
        volumes=_added(old.volumes, options.get("volume", ())),
        block_network=old.block_network or "block-network" in options,
    )
    secrets = dict.fromkeys((*before.secrets, *options.get("secret", ())))
    env = {**before.env, **dict(options.get("env", ()))}
    wishes = replace(before, environment=environment, env=env, secrets=tuple(secrets))
    if "share" in options:
        return replace(wishes, device_memory_bytes=options["share"], exclusive=False)
    return replace(wishes, device_memory_bytes=None, exclusive=True) if "exclusive" in options else wishes


def _added(old: Sequence[Any], new: Iterable[Any]) -> tuple[Any, ...]:
    """Add places to others; one at the same target takes its place."""
    return tuple({place.target: place for place in (*old, *new)}.values())


def says_something(options: Mapping[str, Any]) -> bool:
    """Tell whether a `%gpu use` asks for what only the runtime can tell is there."""
    return any(flag.key in options for flag in FLAGS_OF_USE if flag not in (ENV,) and flag.key != "reset")


def lent(wishes: Wishes, given: Wishes, env: Pairs, secrets: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return the variables and secrets of one run: its own, and what its session was not opened with.

    Args:
        wishes: What `%gpu use` has chosen.
        given: What the session was opened with.
        env: Of the run.
        secrets: Of the run.
    """
    late = {name: value for name, value in wishes.env.items() if given.env.get(name) != value}
    names = [*(name for name in wishes.secrets if name not in given.secrets), *secrets]
    return {**late, **dict(env)}, list(dict.fromkeys(names))


# -- words -------------------------------------------------------------------------------------------------


def told(wishes: Wishes) -> dict[str, str]:
    """Return what is chosen, in words; of variables the names alone."""
    made, rows = wishes.environment, {}
    if made.python:
        rows["python"] = made.python
    if made.mounts:
        rows["mounts"] = ", ".join(_seen(m.source, m.target, not m.writable) for m in made.mounts)
    if made.volumes:
        rows["volumes"] = ", ".join(_seen(v.name, v.target, v.read_only) for v in made.volumes)
    if made.block_network:
        rows["network"] = "blocked"
    if wishes.device_memory_bytes is not None or wishes.exclusive:
        rows["device"] = part(wishes)
    if wishes.env:
        rows["variables"] = ", ".join(sorted(wishes.env))
    if wishes.secrets:
        rows["secrets"] = ", ".join(wishes.secrets)
    return rows


def part(wishes: Wishes) -> str:
    """Return how much of a device is wished for, in words."""
    if wishes.exclusive:
        return "shared with nobody"
    if wishes.device_memory_bytes is None:
        return "as much as the runtime gives by default"
    return f"{format_size(wishes.device_memory_bytes)} of its memory"


def _seen(what: str, target: str, read_only: bool) -> str:
    return what + (f" at {target}" if target != what else "") + (" (read only)" if read_only else "")


def found(reply: pb.ConsiderReply) -> dict[str, str]:
    """Return what the runtime says of a choice, in words."""
    rows = {"worker's python": f"{reply.versions.python} {reply.environment.python}".strip()}
    packages = [f"{name} {version}" for name, version in sorted(reply.versions.packages.items()) if version]
    return {**rows, "packages": ", ".join(packages) or "-"}


def mismatch(reply: pb.ConsiderReply) -> str:
    """Return a table of versions with which no value can travel, "" where all can."""
    here = versions.here()
    rows = versions.blocking(here, reply.versions)
    return versions.table(here, reply.versions, rows) if rows else ""


def warnings(env: Pairs) -> list[str]:
    """Say which variables are named like secrets though their values were typed."""
    typed = [name for name, value in env if isinstance(value, Typed) and words(name) & SECRET_WORDS]
    return [
        f"`{name}` is named like a secret, and its value stands in the notebook: keep it with "
        f"`%gpu secret NAME {name}`, which asks for it, and use `--secret NAME`"
        for name in typed
    ]


def redacted(line: str) -> str:
    """Return a magic line without the values of its variables."""
    return _ENV.sub(lambda m: f"{m['flag']}{m['a'] or m['b'] or m['c']}=…", line)
