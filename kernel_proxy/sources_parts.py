"""The files that make up one local module: its sources, the data beside them, and what cannot travel.

    Place -> walk of its folders -> Part(files, compiled, skipped)

A package travels whole. Of a single file, and of a package without `__init__` (which may be any folder), only those
data files travel that strings in the sources name: what lies beside a notebook is not the module's.
"""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from urllib.parse import urlsplit
from urllib.request import url2pathname

from kernel_proxy.errors import CaptureError
from kernel_proxy.gates import SECRET_WORDS, words
from kernel_proxy.handles import size_text
from kernel_proxy.sources_places import Place
from kernel_proxy.sources_shelf import File, Shelf
from remote_runtime.wire import sources

DATA_FILE_BYTES = 1_000_000
"""A larger file that is no source stays here."""

FOLDERS = 2000
"""Folders of one package that are looked into."""

_LAYOUTS = ("", "src", "lib", "python")
"""Where a project has its packages."""

COMPILED = (".so", ".pyd", ".dylib", ".dll")
_SECRET = SECRET_WORDS | {"secrets", "credentials", "pem"}
_NOT_SOURCE = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})


@dataclass(frozen=True, eq=False)
class Part:
    """One local top-level module.

    Args:
        place: Where it lies.
        sources: Root folder and path under it -> source.
        data: The same for files that are no source.
        compiled: Paths of compiled parts.
        skipped: Why files stay here, in sentences.
    """

    place: Place
    sources: dict[tuple[str, str], File]
    data: dict[tuple[str, str], File]
    compiled: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    @cached_property
    def imports(self) -> frozenset[str]:
        """Top-level modules that its sources import."""
        found = {name.partition(".")[0] for file in self.sources.values() for name in file.imports}
        return frozenset(found - {self.place.name})

    def same_as(self, other: Part) -> bool:
        """Tell whether nothing has changed; files that were not read again are the same objects."""
        mine, theirs = (
            (p.place, list(p.sources.values()), list(p.data.values()), p.compiled, p.skipped) for p in (self, other)
        )
        return mine == theirs


def part_of(place: Place, shelf: Shelf) -> Part:
    """Look at the files of a local module.

    Raises:
        CaptureError: Its folders hold too much to look through.
    """
    walk = _Walk(place, shelf)
    for path in place.paths:
        if place.kind == "file":
            walk.take(os.path.dirname(path), os.path.basename(path))
        elif place.kind == "compiled":
            walk.compiled.append(path)
        else:
            walk.through(path)
    return Part(place, walk.sources, walk.data, tuple(walk.compiled), tuple(walk.skipped))


@functools.lru_cache(maxsize=256)
def metadata_of(name: str, path: str = "") -> tuple[str, File] | None:
    """Return what an editable install says of a package, `importlib.metadata.version` among it, and where it lies.

    Args:
        name: A top-level module, installed under its own name.
        path: Where it lies: by this it is found though its distribution has another name.
    """
    found = next((each for each in _editables() if _is_of(each, name, path)), None)
    text = found[1].read_text("METADATA") if found is not None else None
    if found is None or text is None:
        return None
    content, distribution = text.encode(), found[1]
    under = f"{distribution.metadata['Name'].replace('-', '_')}-{distribution.version}.dist-info/METADATA"
    return under, File(under, content, sources.digest_of(content))


def _editables() -> list[tuple[str, metadata.Distribution]]:
    """Return the editable installs of this process, each with its project's folder."""
    return _editables_on(tuple(sys.path))


@functools.lru_cache(maxsize=4)
def _editables_on(path: tuple[str, ...]) -> list[tuple[str, metadata.Distribution]]:
    found = []
    for distribution in metadata.distributions(path=list(path)):
        with suppress(OSError, ValueError, AttributeError):
            url = json.loads(distribution.read_text("direct_url.json") or "{}")
            if url.get("dir_info", {}).get("editable"):
                found.append((url2pathname(urlsplit(url.get("url", "")).path), distribution))
    return found


def _is_of(editable: tuple[str, metadata.Distribution], name: str, path: str) -> bool:
    """Tell whether an editable install is that of a module: by its name, or by where the project has its packages."""
    folder, distribution = editable
    own_name = str(distribution.metadata["Name"] or "")
    is_named = re.sub(r"[-_.]+", "_", own_name).lower() == name.lower()
    where = os.path.dirname(os.path.realpath(path)) if path else ""
    return is_named or bool(folder and where and where in {os.path.join(folder, part).rstrip("/") for part in _LAYOUTS})


class _Walk:
    """Collects the files of one module.

    Args:
        place: The module.
        shelf: Where files are looked at.
    """

    def __init__(self, place: Place, shelf: Shelf) -> None:
        self._place, self._shelf = place, shelf
        self._whole = place.kind == "package"
        self.sources: dict[tuple[str, str], File] = {}
        self.data: dict[tuple[str, str], File] = {}
        self.compiled: list[str] = []
        self.skipped: list[str] = []

    def through(self, package: str) -> None:
        """Take what lies in a package's folder and below."""
        root = os.path.dirname(package)
        for folder in self._folders(package):
            under = os.path.relpath(folder, root).replace(os.sep, "/")
            for name, is_folder in self._shelf.names(folder):
                if not is_folder and not name.startswith("."):
                    self.take(root, f"{under}/{name}")

    def take(self, root: str, under: str) -> None:
        """Take one file, and what its text names."""
        if under.endswith(COMPILED):
            self.compiled.append(os.path.join(root, under))
        elif under.endswith(".py"):
            file = self._shelf.file(os.path.join(root, under))
            if file is not None:
                self.sources[root, under] = file
                if not self._whole:
                    self._take_named(root, file)
        elif self._whole and not under.endswith(".pyc"):
            self._take_data(root, under)

    def _take_named(self, root: str, file: File) -> None:
        for path in self._shelf.named_by(file):
            under = os.path.relpath(path, root).replace(os.sep, "/")
            if not under.endswith((".py", *COMPILED)) and not under.rpartition("/")[2].startswith("."):
                self._take_data(root, under)

    def _take_data(self, root: str, under: str) -> None:
        path = os.path.join(root, under)
        size_bytes = self._shelf.size_bytes(path)
        if size_bytes is None:
            return
        if words(os.path.basename(path)) & _SECRET:
            self.skipped.append(f"`{path}` is named like a secret and stays here")
        elif size_bytes > DATA_FILE_BYTES:
            size = size_text(size_bytes)
            self.skipped.append(f"`{path}` is {size} and stays here: send what it holds as a variable")
        elif (file := self._shelf.file(path)) is not None:
            self.data[root, under] = file

    def _folders(self, package: str) -> Iterator[str]:
        """Yield a package's folder and those below, each once, however links lead to it."""
        seen, waiting = set[str](), [package]
        while waiting:
            folder = waiting.pop(0)
            real = os.path.realpath(folder) if os.path.islink(folder) else folder
            if real in seen:
                continue
            seen.add(real)
            if len(seen) > FOLDERS:
                raise CaptureError(
                    f"local package `{self._place.name}` in {package} has more than {FOLDERS} folders",
                    "keep data out of the package's folder, or install the package on the worker",
                )
            yield folder
            inner = [name for name, is_folder in self._shelf.names(folder) if is_folder]
            waiting += [os.path.join(folder, name) for name in inner if self._is_looked_into(folder, name)]

    def _is_looked_into(self, folder: str, name: str) -> bool:
        if name.startswith(".") or name in _NOT_SOURCE or name.endswith((".egg-info", ".dist-info")):
            return False
        return ("pyvenv.cfg", False) not in self._shelf.names(os.path.join(folder, name))
