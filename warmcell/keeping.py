"""What a runtime keeps for its users, on the command line: `warmcell secret ...` and `warmcell volume ...`.

    words -> runtime -> Secret, Volume -> a table, or one line of JSON

The value of a secret is never a word of the command line, which everybody on the machine can read: it is asked for,
or read from standard input, a `.env` file, or this process's variables.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from kernel_proxy.errors import SettingsError
from kernel_proxy.runtime import Runtime, connect
from kernel_proxy.secret import Secret
from kernel_proxy.settings import load_settings
from kernel_proxy.uploads import Moved
from kernel_proxy.volume import Volume
from remote_runtime.wire import messages_pb2 as pb
from warmcell.tables import plain, size, table

_DAY = "%Y-%m-%d %H:%M"


def _common(command: Callable[..., None]) -> Callable[..., None]:
    state = click.option("--state", type=click.Path(file_okay=False), help="State directory of this machine's runtime.")
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")(state(command))


@contextmanager
def _runtime(state: str | None) -> Iterator[Runtime]:
    settings = load_settings({"home": state})
    runtime = connect(replace(settings, url="") if state else settings)
    try:
        yield runtime
    finally:
        runtime.close()


def _show(as_json: bool, facts: Mapping[str, Any], text: str) -> None:
    click.echo(json.dumps(facts) if as_json else text)


@click.group()
def secret() -> None:
    """Keep variables that no notebook shall show."""


@secret.command("create")
@click.argument("name")
@click.argument("variables", nargs=-1, metavar="VARIABLE...")
@click.option("--from-dotenv", "dotenv", type=click.Path(exists=True), help="Take the variables of a .env file.")
@click.option("--from-environ", "environ", is_flag=True, help="Take the values that the VARIABLEs have here.")
@click.option("--stdin", is_flag=True, help="Read the values from standard input, one a line.")
@click.option("--overwrite", is_flag=True, help="Replace a secret of that name.")
@_common
def secret_create(name: str, variables: tuple[str, ...], overwrite: bool, state: str | None, as_json: bool,
                  **where: Any) -> None:  # fmt: skip
    """Keep VARIABLEs under NAME; their values are asked for."""
    given = _given(variables, **where)
    with _runtime(state) as runtime:
        given.create(name, overwrite=overwrite, runtime=runtime)
    _show(as_json, {"name": name, "variables": sorted(given.variables)},
          f"the runtime keeps the secret {name}: {', '.join(sorted(given.variables))}")  # fmt: skip


def _given(variables: Sequence[str], dotenv: str | None, environ: bool, stdin: bool) -> Secret:
    """Return the variables with their values, from where the command says.

    Raises:
        SettingsError: There is none, or a value was typed.
    """
    typed = next((v.partition("=")[0] for v in variables if "=" in v), "")
    if typed:
        raise SettingsError(
            f"the value of {typed} was typed, and everybody on this machine can read a command line",
            f"write {typed} alone, which asks for it, or use --from-dotenv, --from-environ or --stdin",
        )
    if dotenv:
        return Secret.from_dotenv(dotenv)
    if not variables:
        raise SettingsError("the secret has no variables", "name them, or give a file with --from-dotenv")
    if environ:
        return Secret.from_local_environ(variables)
    values = sys.stdin.read().splitlines() if stdin else [click.prompt(v, hide_input=True) for v in variables]
    if len(values) != len(variables):
        what = f"standard input has {len(values)} lines, and there are {len(variables)} variables"
        raise SettingsError(what, "write one value a line")
    return Secret.from_dict(dict(zip(variables, values, strict=True)))


@secret.command("list")
@_common
def secret_list(state: str | None, as_json: bool) -> None:
    """List secrets with the names of their variables; values are never shown."""
    with _runtime(state) as runtime:
        kept = runtime.secrets(pb.SecretsRequest(list=pb.Empty()))
    rows = [(info.name, ", ".join(info.variables), _day(info.created_at)) for info in kept]
    text = table(("SECRET", "VARIABLES", "MADE"), rows) if rows else "no secrets"
    _show(as_json, {"secrets": [plain(info) for info in kept]}, text)


@secret.command("rm")
@click.argument("name")
@_common
def secret_rm(name: str, state: str | None, as_json: bool) -> None:
    """Forget a secret; sessions that have it keep it."""
    with _runtime(state) as runtime:
        runtime.secrets(pb.SecretsRequest(remove=name))
    _show(as_json, {"removed": name}, f"the secret {name} is forgotten")


@click.group()
def volume() -> None:
    """Keep files that outlive sessions."""


@volume.command("create")
@click.argument("name")
@_common
def volume_create(name: str, state: str | None, as_json: bool) -> None:
    """Make an empty volume."""
    with _runtime(state) as runtime:
        runtime.volumes(pb.VolumesRequest(make=pb.VolumeMake(name=name, create_if_missing=True, must_be_new=True)))
    _show(as_json, {"name": name}, f"volume {name} is there, and empty")


@volume.command("ls")
@click.argument("name", required=False)
@click.argument("path", default="")
@_common
def volume_ls(name: str | None, path: str, state: str | None, as_json: bool) -> None:
    """List the volumes, or what a folder of the volume NAME holds."""
    with _runtime(state) as runtime:
        if name is not None:
            return _show_files(Volume.from_name(name, runtime=runtime).listdir(path), as_json)
        kept = runtime.volumes(pb.VolumesRequest(list=pb.Empty()))
    rows = [(v.name, _known(v, "file_count"), size(_known(v, "size_bytes")), _day(v.created_at)) for v in kept]
    text = table(("VOLUME", "FILES", "SIZE", "CHANGED"), rows) if rows else "no volumes"
    return _show(as_json, {"volumes": [plain(info) for info in kept]}, text)


def _show_files(infos: Sequence[pb.FileInfo], as_json: bool) -> None:
    facts = [
        {"path": os.fsdecode(i.path), "kind": i.kind, "size_bytes": i.size_bytes, "modified_at": i.modified_at}
        for i in infos
    ]
    rows = [
        (fact["path"] + "/" * (fact["kind"] == "folder"),
         size(fact["size_bytes"]) if fact["kind"] == "file" else None, _day(fact["modified_at"]))
        for fact in facts
    ]  # fmt: skip
    _show(as_json, {"files": facts}, table(("NAME", "SIZE", "CHANGED"), rows) if rows else "no files")


@volume.command("put")
@click.argument("name")
@click.argument("here", type=click.Path(exists=True))
@click.argument("there", default="")
@_common
def volume_put(name: str, here: str, there: str, state: str | None, as_json: bool) -> None:
    """Send a file or a folder into a volume, which is made if need be; what is there already is not sent."""
    with _runtime(state) as runtime:
        moved = Volume.from_name(name, create_if_missing=True, runtime=runtime).put(here, there)
    _moved(moved, f"sent to volume {name}", as_json)


@volume.command("get")
@click.argument("name")
@click.argument("there")
@click.argument("here", default="")
@click.option("--force", is_flag=True, help="Overwrite files here that differ.")
@_common
def volume_get(name: str, there: str, here: str, force: bool, state: str | None, as_json: bool) -> None:
    """Bring a file or a folder of a volume here."""
    with _runtime(state) as runtime:
        moved = Volume.from_name(name, runtime=runtime).get(there, here, force)
    _moved(moved, f"brought to {Path(moved.place)}", as_json)


def _moved(moved: Moved, where: str, as_json: bool) -> None:
    same = f", {moved.same_count} unchanged" if moved.same_count else ""
    facts = {"files": moved.files_count, "bytes": moved.moved_bytes, "unchanged": moved.same_count}
    text = f"{moved.files_count} files, {size(moved.moved_bytes)} {where}{same}"
    _show(as_json, facts, "\n".join((text, *moved.left_out)))


@volume.command("rm")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_common
def volume_rm(name: str, yes: bool, state: str | None, as_json: bool) -> None:
    """Remove a volume with all that is in it."""
    with _runtime(state) as runtime:
        found = Volume.from_name(name, runtime=runtime)
        if not yes:
            click.confirm(f"remove volume {name} with all that is in it?", abort=True)
        found.remove()
    _show(as_json, {"removed": name}, f"volume {name} is removed")


def _day(at: float) -> str:
    return time.strftime(_DAY, time.localtime(at)) if at else "-"


def _known(info: pb.VolumeInfo, field: str) -> int | None:
    return getattr(info, field) if info.HasField(field) else None
