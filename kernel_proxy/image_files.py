"""Files of this machine that go into an image: found, filtered and digested when the image is built.

    Local(here, there, ignore) -> walk -> (Content, path here) of each file

A digest is made once for as long as the file's stat stays the same.
"""

from __future__ import annotations

import fnmatch
import hashlib
import importlib.util
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kernel_proxy.errors import ImageError
from remote_runtime.wire.images import FILES, Content

Ignore = Callable[[Path], bool]
"""Tells of a path, relative to the folder that is added, whether it stays here."""

SETTLED_NS = 2_000_000_000
"""How long ago the last change must be for a stat to vouch for a file: the coarsest clock of a file system."""

_NEVER = frozenset({"__pycache__", ".git", ".ipynb_checkpoints"})
_COMPILED = (".so", ".pyd", ".dylib")
_digests: dict[str, tuple[tuple[int, ...], str]] = {}


@dataclass(frozen=True)
class Local:
    """A file or folder of this machine.

    Args:
        here: Its path.
        there: Where it goes.
        ignore: What of a folder stays here.
    """

    here: Path
    there: str
    ignore: Ignore | None = None


def nothing(_: Path) -> bool:
    """Leave nothing out."""
    return False


def not_source(path: Path) -> bool:
    """Leave out what is no Python source."""
    return path.suffix != ".py"


def ignoring(patterns: Sequence[str] | Ignore) -> Ignore:
    """Return what tells of a path whether patterns leave it out.

    Args:
        patterns: Such as "*.csv" or "data/**"; a later one that begins with `!` takes files back in. Or a function.
    """
    if callable(patterns):
        return patterns
    rules = tuple((pattern.lstrip("!").strip("/"), not pattern.startswith("!")) for pattern in patterns)

    def is_ignored(path: Path) -> bool:
        text, verdict = path.as_posix(), False
        for pattern, leaves_out in rules:
            whole = pattern.removesuffix("/**")
            if fnmatch.fnmatch(text, pattern) or fnmatch.fnmatch(path.name, pattern) or text.startswith(f"{whole}/"):
                verdict = leaves_out
        return verdict

    return is_ignored


def module_at(name: str, ignore: Ignore) -> Local:
    """Return where a local module lies.

    Raises:
        ImageError: There is none of that name, or it is compiled.
    """
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        spec = None
    if spec is None or spec.origin is None or not spec.has_location:
        raise ImageError(f"there is no local module `{name}`", "import it here first, or check its name")
    origin, under = Path(spec.origin), name.replace(".", "/")
    if origin.name.endswith(_COMPILED):
        raise ImageError(f"the module `{name}` is compiled ({origin})", "install it in the image by `.pip_install`")
    if spec.submodule_search_locations is not None:
        return Local(origin.parent, under, ignore)
    return Local(origin, f"{under}.py")


def contents(local: Local) -> Iterator[tuple[Content, Path]]:
    """Yield the files of a path, in order, each with where it is here.

    Raises:
        ImageError: There is no such path, it cannot be read, or it holds too many files.
    """
    if not local.here.exists():
        raise ImageError(f"{local.here} does not exist, and the image adds it", "check the path")
    if local.here.is_file():
        yield _content(local.here, local.there), local.here
        return
    for count, (path, under) in enumerate(_walk(local)):
        if count == FILES:
            raise ImageError(f"{local.here} holds more than {FILES} files", "leave some out by `ignore=[…]`")
        yield _content(path, str(PurePosixPath(local.there) / under)), path


def _walk(local: Local) -> Iterator[tuple[Path, str]]:
    ignore = local.ignore or nothing
    for folder, folders, names in os.walk(local.here):
        folders[:] = sorted(name for name in folders if name not in _NEVER)
        for name in sorted(names):
            path = Path(folder, name)
            under = path.relative_to(local.here)
            if path.is_file() and not ignore(under):
                yield path, under.as_posix()


def _content(path: Path, there: str) -> Content:
    try:
        found = path.stat()
        return Content(there, _digest(path, found), found.st_size, bool(found.st_mode & 0o100))
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}", "check its mode, or leave it out") from error


def _digest(path: Path, found: os.stat_result) -> str:
    key, name = (found.st_mtime_ns, found.st_size, found.st_ino), str(path.absolute())
    known = _digests.get(name)
    if known is not None and known[0] == key:
        return known[1]
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            whole.update(piece)
    if time.time_ns() - found.st_mtime_ns > SETTLED_NS:
        _digests[name] = key, whole.hexdigest()
    return whole.hexdigest()
