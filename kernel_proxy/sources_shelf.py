"""The files of local modules, read once and looked at again by their stat alone.

    path -> stat -> the File as it was read, or read anew -> digest, imports, texts
    folder -> stat -> the names in it as they were listed, or listed anew

A stat tells two states of a file apart only if they are further apart than its clock is coarse, so what was changed
just now is read again the next time.
"""

from __future__ import annotations

import ast
import os
import stat
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from remote_runtime.wire import sources

SETTLED_NS = 2_000_000_000
"""How long ago the last change must be for a stat to vouch for it: the coarsest clock of a file system."""

TEXT_CHARACTERS = 255
"""Longest string in a source that may name a file."""


@dataclass(frozen=True)
class File:
    """A file as it was read.

    Args:
        path: Where.
        content: What.
        digest: What it is known by.
    """

    path: str
    content: bytes
    digest: bytes

    @cached_property
    def imports(self) -> frozenset[str]:
        """Modules that its text imports by absolute names."""
        return sources.imports_of(self.content.decode("utf-8", "replace"))

    @cached_property
    def texts(self) -> frozenset[str]:
        """Short strings in its code; none where it does not compile."""
        nodes = ast.walk(tree) if (tree := _parsed(self.content)) is not None else ()
        found = (node.value for node in nodes if isinstance(node, ast.Constant))
        return frozenset(text for text in found if isinstance(text, str) and 0 < len(text) <= TEXT_CHARACTERS)

    def really_imports(self, top: str) -> bool:
        """Tell whether its code, and not only a line of a docstring, imports a top-level module."""
        nodes = ast.walk(tree) if (tree := _parsed(self.content)) is not None else ()
        for node in nodes:
            named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                named = [node.module or ""]
            if any(name.partition(".")[0] == top for name in named):
                return True
        return False


class Shelf:
    """Files and folders that were looked at."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[tuple[int, ...], File]] = {}
        self._folders: dict[str, tuple[tuple[int, ...], tuple[tuple[str, bool], ...]]] = {}

    def file(self, path: str) -> File | None:
        """Return a file as it is now; None where there is none, or it cannot be read."""
        try:
            found = os.stat(path)
            key = (found.st_mtime_ns, found.st_size, found.st_ino)
            known = self._files.get(path)
            if known is not None and known[0] == key:
                return known[1]
            if not stat.S_ISREG(found.st_mode):
                return None
            with open(path, "rb") as opened:
                content = opened.read()
        except (OSError, ValueError):
            self._files.pop(path, None)
            return None
        digest = sources.digest_of(content)
        file = known[1] if known is not None and known[1].digest == digest else File(path, content, digest)
        self._files[path] = (key if _is_settled(found.st_mtime_ns) else ()), file
        return file

    def names(self, folder: str) -> tuple[tuple[str, bool], ...]:
        """Return the names in a folder, in order, each with whether it is a folder; none where it cannot be read."""
        try:
            found = os.stat(folder)
            key = (found.st_mtime_ns, found.st_ino)
            known = self._folders.get(folder)
            if known is not None and known[0] == key:
                return known[1]
            with os.scandir(folder) as entries:
                names = tuple(sorted((entry.name, _is_folder(entry)) for entry in entries))
        except OSError:
            return ()
        self._folders[folder] = (key if _is_settled(found.st_mtime_ns) else ()), names
        return names

    def size_bytes(self, path: str) -> int | None:
        """Return the size of a regular file; None where there is none."""
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def named_by(self, file: File) -> Iterator[str]:
        """Yield files beside a source that strings in it name: `"x.json"`, `"data/x.json"`, `"data" / "x.json"`."""
        folder = os.path.dirname(file.path)
        beside = dict(self.names(folder))
        for text in sorted(file.texts):
            first = text.split("/")[0]
            if first not in beside or not sources.is_inside(text):
                continue
            path = os.path.join(folder, text)
            if not beside[first] or first != text:
                yield path
                continue
            inner = [name for name, is_folder in self.names(path) if not is_folder]
            yield from (os.path.join(path, name) for name in inner if name in file.texts)


def _is_settled(changed_ns: int) -> bool:
    return time.time_ns() - changed_ns > SETTLED_NS


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _parsed(content: bytes) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whoever imports it hears them
        try:
            return ast.parse(content)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
