"""`%gpu pip install`: one more layer on the image of this notebook's sessions.

    words -> packages, options -> Image and one step -> built -> running sessions, where it changes nothing they have
                                                             -> sessions that are opened from now on
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from jupyter_ext import images, road
from jupyter_ext.cells import Cell
from jupyter_ext.connection import Connection
from jupyter_ext.far import Far
from jupyter_ext.grammar import CellRequest, GrammarError
from jupyter_ext.reports import Report
from kernel_proxy.errors import WarmcellError
from kernel_proxy.image import Image
from kernel_proxy.image_steps import requirements_in
from remote_runtime.wire import messages_pb2 as pb

_WITH_VALUE = frozenset({
    "-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--trusted-host", "--timeout", "--retries",
    "--no-binary", "--only-binary", "--upgrade-strategy", "--index-strategy", "--cert",
})  # fmt: skip
_FILE = ("-r", "--requirement")
_NEVER = ("-e", "--editable", "-t", "--target", "--prefix", "--root", "--user", "-c", "--constraint")


def install(connection: Connection, words: Sequence[str]) -> Report:
    """Do `%gpu pip install …`: add a layer to the image of this notebook's sessions.

    Raises:
        GrammarError: The words are no `install` of packages.
        WarmcellError: The layer cannot be built.
    """
    packages, options = _read(words)
    defaults = connection.defaults
    image = (defaults.image or Image.debian_slim()).pip_install(packages, extra_options=shlex.join(options))
    newest = defaults.later or defaults.wishes.environment
    chosen = images.built(connection, "pip", image, newest.image)
    environment = chosen.environment(newest)
    sessions = [far for far in connection.sessions if connection.opened(far.session.target) is far]
    reached = [far for far in sessions if chosen.built.live and _extend(connection, far, chosen.built.live)]
    if sessions:
        connection.defaults = replace(defaults, image=image, later=environment)
    else:
        wishes = replace(defaults.wishes, environment=environment)
        connection.defaults = replace(defaults, image=image, wishes=wishes, later=None)
    return _told(chosen.built, sessions, reached)


def _told(built: pb.Built, sessions: Sequence[Far], reached: Sequence[Far]) -> Report:
    """Say what was done, and for whom."""
    rows = [("added", text) for text in built.added] + [("changed", text) for text in built.changed]
    notes = []
    for far in sessions:
        if far in reached:
            notes.append(f"session {far.session.name} has it now; a session that is opened later begins with it")
        else:
            why = "it has another version of a package already" if built.changed else "its worker cannot be changed"
            notes.append(f"session {far.session.name} goes on without it, {why}: after `%gpu stop` the next has it")
    if not sessions:
        notes.append("the next session begins with it")
    title = f"image {built.digest[:12]}" + (": all of it was there already" if built.reused and not rows else "")
    return Report(title, ("what", "package"), tuple(rows), tuple(notes))


def _read(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return packages and options of pip's own words."""
    if not words or words[0] != "install":
        said = f"`%gpu pip {words[0]}` is not there" if words else "`%gpu pip` wants a command"
        raise GrammarError(said, "write `%gpu pip install NAME`; `!pip list` in a %%gpu cell shows what is there")
    packages: list[str] = []
    options: list[str] = []
    rest = iter(words[1:])
    for word in rest:
        name, _, value = word.partition("=")
        if name in _NEVER:
            raise GrammarError(f"`{name}` has no place in an image", "name packages of an index")
        if name in _FILE:
            more, found = requirements_in(Path(value or next(rest, "")))
            packages += more
            options += found
        elif word in _WITH_VALUE:
            options += [word, next(rest, "")]
        elif word.startswith("-"):
            options.append(word)
        else:
            packages.append(word)
    if not packages:
        raise GrammarError("`%gpu pip install` names no package", "write `%gpu pip install NAME`")
    return packages, options


def _extend(connection: Connection, far: Far, folders: Sequence[str]) -> bool:
    """Let a running session import what was added; tell whether it can."""
    source = f"[*map(__import__('site').addsitedir, {list(folders)!r})] and None"
    cell = Cell(CellRequest(target=far.session.target or None, quiet=True), source, in_cell=False)
    try:
        road.run_cell(connection, cell)
    except WarmcellError:  # it is busy or lost: the image is there for the next one
        return False
    return True
