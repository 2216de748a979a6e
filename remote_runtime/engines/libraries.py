"""What a worker needs and an environment lacks: a folder of packages beside it, made once; nothing is installed.

    Interpreter.absent -> the runtime's own packages, linked      (same minor version of Python)
                       -> pip or uv, `--target` a folder          (another one)
    -> checked by importing, behind the environment's own packages -> state/libraries/TAG

The folder stands at the end of the worker's path, so it shadows nothing. What the environment has in a version that
is too old cannot be helped that way: the message names the one command that would.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path, PurePath

from remote_runtime.engines import records, uv
from remote_runtime.engines.probing import NEEDS, Interpreter, surroundings
from remote_runtime.wire.failures import Failed

_INSTALL_S, _CHECK_S = 600.0, 60.0
_CHECK = """
import sys
sys.path.append(sys.argv[1])
import cloudpickle, comm, google.protobuf.message, grpc, pynvml, xxhash
import IPython.core.interactiveshell
from google.protobuf import runtime_version
"""
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def provide(interpreter: Interpreter, state: Path) -> str:
    """Return a folder with what a worker needs beside an interpreter's own packages, "" where it has all.

    It is made where it is not there yet, which takes from a moment to a minute.

    Args:
        interpreter: For which.
        state: Directory of the runtime.

    Raises:
        Failed: code "unsupported": something is there in too old a version, or cannot be had.
    """
    if interpreter.outdated:
        have = ", ".join(f"{name} {interpreter.packages[name]}" for name in interpreter.outdated)
        needed = [f"{name}>={NEEDS[name]}" for name in interpreter.outdated]
        raise _refused(interpreter, f"has {have}, too old for a worker", needed)
    if not interpreter.absent:
        return ""
    folder = state / "libraries" / _key(interpreter)
    if not folder.is_dir():
        _make(interpreter, folder)
    _check(interpreter, folder)
    return str(folder)


def _key(interpreter: Interpreter) -> str:
    facts = "\n".join((sys.prefix if _is_alike(interpreter) else "", *(f"{n} {v}" for n, v in NEEDS.items())))
    return f"{interpreter.tag}-{hashlib.sha256(facts.encode()).hexdigest()[:8]}"


def _is_alike(interpreter: Interpreter) -> bool:
    return interpreter.tag == sys.implementation.cache_tag


def _make(interpreter: Interpreter, folder: Path) -> None:
    """Fill a folder beside the one wanted and put it in place at once."""
    records.private_directory(folder.parent)
    scratch = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        if not (_is_alike(interpreter) and _link(scratch)):
            _install(interpreter, scratch)
        os.replace(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


# ---- from the runtime's own environment ------------------------------------------------------------------


def _link(folder: Path) -> bool:
    """Link the runtime's own copies into a folder; tell whether all could be found."""
    folder.mkdir(parents=True)
    for distribution in _closure(NEEDS):
        files = distribution.files
        if files is None:
            return False
        for top in sorted(_tops([PurePath(file) for file in files])):
            target = folder / top
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                target.symlink_to(Path(str(distribution.locate_file(str(top)))).resolve())
    return True


def _closure(names: Sequence[str] | object) -> Iterator[metadata.Distribution]:
    """Yield distributions with all that they require and that is installed here."""
    todo, seen = list(names), set()  # type: ignore[call-overload]
    while todo:
        name = re.sub(r"[-_.]+", "-", todo.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # of another system or Python, or of an extra
            continue
        yield distribution
        todo += [_NAME.match(line)[0] for line in distribution.requires or () if "extra ==" not in line]  # type: ignore[index]


def _tops(files: Sequence[PurePath]) -> set[PurePath]:
    """Return what must be linked: packages as folders, parts of a namespace each by itself, single modules."""
    packages = {file.parent for file in files if file.name == "__init__.py"}
    found = set()
    for file in files:
        if ".." in file.parts or file.is_absolute() or file.parts[0] in ("__pycache__", "example.py"):
            continue
        folders = [*reversed(file.parents)][1:]
        whole = [folder for folder in folders if folder in packages or folder.suffix in (".dist-info", ".libs")]
        found.add(whole[0] if whole else file)
    return found


# ---- from an index ---------------------------------------------------------------------------------------


def _install(interpreter: Interpreter, folder: Path) -> None:
    wanted = [f"{name}>={oldest}" for name, oldest in NEEDS.items()]
    environment = {**surroundings(interpreter.path), "PYTHONDONTWRITEBYTECODE": "1"}
    why = ""
    for command in _installers(interpreter.path):
        try:
            done = subprocess.run([*command, "--target", str(folder), *wanted], capture_output=True, text=True,
                                  timeout=_INSTALL_S, env=environment, stdin=subprocess.DEVNULL)  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            why = str(error)
            continue
        if done.returncode == 0:
            return
        why = uv.last_line(done.stderr or done.stdout)
        shutil.rmtree(folder, ignore_errors=True)
    raise _refused(interpreter, f"lacks {', '.join(interpreter.absent)}, which could not be fetched ({why})",
                   [f"{name}>={NEEDS[name]}" for name in interpreter.absent])  # fmt: skip


def _installers(path: str) -> Iterator[list[str]]:
    found = uv.find()
    if found:
        yield [*found, "pip", "install", "--quiet", "--python", path]
    yield [sys.executable, "-m", "pip", "--python", path, "install", "--quiet", "--no-input"]


def _check(interpreter: Interpreter, folder: Path) -> None:
    """Import everything as a worker would: the environment's own packages first.

    Raises:
        Failed: code "unsupported", where what is there and what was added do not go together.
    """
    command = [interpreter.path, "-B", "-c", _CHECK, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_CHECK_S, cwd="/",
                          env=surroundings(interpreter.path), stdin=subprocess.DEVNULL)  # fmt: skip
    if done.returncode:
        needed = [f"{name}>={oldest}" for name, oldest in NEEDS.items()]
        why = uv.last_line(done.stderr)
        raise _refused(interpreter, f"does not go together with what a worker needs ({why})", needed)


def _refused(interpreter: Interpreter, what: str, needed: Sequence[str]) -> Failed:
    command = f"{interpreter.path} -m pip install {' '.join(repr(each) for each in needed)}"
    return Failed("unsupported", f"the environment of {interpreter.path} {what}", command, {"python": interpreter.path})
