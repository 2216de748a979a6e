"""What Python has imported of the notebook's local modules: loaded under the paths they have at the kernel, and
imported again when their sources change.

    path of a module -> Importer's hook -> Loader -> code whose lines and file name are the user's own
    changed paths    -> Importer.renew  -> stale modules dropped, imported again, names bound to the new ones

A module is stale when its file changed, when it imports a stale one, or when its package is stale. Code is compiled
each time a process imports it: bytecode kept on disk is told apart by seconds, and edits come faster.
"""

from __future__ import annotations

import functools
import importlib
import linecache
import os
import sys
import tokenize
import types
from collections.abc import Collection, Iterable, Mapping
from importlib.machinery import FileFinder, SourceFileLoader
from io import BytesIO
from typing import Any

from remote_runtime.wire import sources

_OWN = frozenset({"warmcell", "jupyter_ext", "kernel_proxy", "remote_runtime", "__main__", "sys", "builtins"})
_BROKEN = "`{name}` does not import there: {error}; what the session has of it stays as it was"


class Importer:
    """Imports what lies in one folder.

    Args:
        base: The folder.

    Attributes:
        names: Path of a file there -> its path at the kernel.
        files: Module that was imported -> its file there.
    """

    def __init__(self, base: str) -> None:
        self._base = base
        self.names: dict[str, str] = {}
        self.files: dict[str, str] = {}
        self._imports: dict[str, frozenset[str]] = {}
        self._broken: dict[str, types.ModuleType] = {}

    def install(self) -> None:
        """Let Python import from the folder."""
        sys.path_hooks.insert(0, self._finder)

    def place(self, roots: Iterable[str]) -> None:
        """Put folders under the base at the front of the path, in their order, and take others away."""
        others = [path for path in sys.path if not self._holds(path)]
        sys.path[:] = [*roots, *others]
        for path, finder in list(sys.path_importer_cache.items()):
            if self._holds(path):
                if finder is None:
                    del sys.path_importer_cache[path]
                else:
                    finder.invalidate_caches()  # a folder's time tells changes apart too coarsely

    def renew(self, changed: Collection[str], tops: Collection[str], namespace: dict[str, Any]) -> list[str]:
        """Drop what is stale from what Python has imported, and import it again.

        Args:
            changed: Files there that are new, gone or other than before.
            tops: Top-level modules that came or went: what was imported under their names is another module.
            namespace: The user's; names in it that stand for what was dropped stand for the new.

        Returns:
            Sentences about what could not be imported, and what the namespace still has of it.
        """
        self._forget_lines(changed)
        others = set(tops) - _OWN
        stale = self._stale(changed) | {name for name in list(sys.modules) if _top(name) in others}
        ours = [*self._broken, *(name for name in sys.modules if name in stale and name in self.files)]
        dropped = {name: module for name in stale if (module := self._drop(name)) is not None}
        dropped = {**dropped, **self._broken}  # what the namespace has is older than a module that came since
        broken = {name: error for name in ours if (error := _imported(name)) is not None}
        self._broken = {name: module for name, module in dropped.items() if name in broken}
        return _rebound(namespace, dropped, broken)

    def _finder(self, path: str) -> FileFinder:
        if not self._holds(path):
            raise ImportError(f"{path} holds no sources of the notebook", path=path)
        return FileFinder(path, (lambda name, file: Loader(self, name, file), [".py"]))

    def _holds(self, path: object) -> bool:
        return isinstance(path, str) and path.startswith(self._base + os.sep)

    def note(self, name: str, file: str, source: bytes) -> str:
        """Take note of a module that is being imported.

        Returns:
            The path of its file at the kernel.
        """
        told, text = self.names.get(file, file), _decoded(source)
        package = name if os.path.basename(file) == "__init__.py" else name.rpartition(".")[0]
        self.files[name], self._imports[name] = file, sources.imports_of(text, package)
        # Without a time of the file the lines are never read anew: they are those that run, whatever lies there.
        linecache.cache[told] = (len(source), None, text.splitlines(keepends=True), told)
        return told

    def _stale(self, changed: Collection[str]) -> set[str]:
        new = {_module_of(path, self._base) for path in changed}
        stale = {name for name, file in self.files.items() if file in changed}
        loaded = {name: self._imports[name] for name in self.files if name in sys.modules}
        while more := {n for n, found in loaded.items() if n not in stale and _is_touched(n, found, stale | new)}:
            stale |= more
        return stale

    def _drop(self, name: str) -> types.ModuleType | None:
        module = sys.modules.pop(name, None)
        self.files.pop(name, None)
        self._imports.pop(name, None)
        parent, _, last = name.rpartition(".")
        held = vars(sys.modules[parent]) if parent and isinstance(sys.modules.get(parent), types.ModuleType) else {}
        if module is not None and held.get(last) is module:
            del held[last]  # `from parent import last` would find the old one
        return module if isinstance(module, types.ModuleType) else None

    def _forget_lines(self, changed: Collection[str]) -> None:
        for path in changed:
            linecache.cache.pop(self.names.get(path, path), None)


class Loader(SourceFileLoader):
    """Loads a module of the notebook's.

    Args:
        importer: Knows where its file lies at the kernel.
        name: The module.
        path: Its file here.
    """

    def __init__(self, importer: Importer, name: str, path: str) -> None:
        super().__init__(name, path)
        self._importer = importer

    def get_code(self, fullname: str) -> types.CodeType:
        """Compile the module; its lines are told as those of the user's own file."""
        path = self.get_filename(fullname)
        source = self.get_data(path)
        told = self._importer.note(fullname, path, source)
        code: types.CodeType = compile(source, told, "exec", dont_inherit=True)
        return code


def _decoded(source: bytes) -> str:
    try:
        encoding, _ = tokenize.detect_encoding(BytesIO(source).readline)
        return source.decode(encoding)
    except (SyntaxError, UnicodeDecodeError):  # compiling tells of it
        return source.decode("utf-8", "replace")


def _top(name: str) -> str:
    return name.partition(".")[0]


def _module_of(path: str, base: str) -> str:
    """Return the dotted name that a file is imported by; its first part names the root, which is left out."""
    parts = os.path.relpath(path, base).removesuffix(".py").split(os.sep)[1:]
    return ".".join(parts[:-1] if parts[-1:] == ["__init__"] else parts)


def _is_touched(name: str, imports: Collection[str], stale: Collection[str]) -> bool:
    """Tell whether a module must be imported again because others are."""
    below = any(name.startswith(f"{other}.") for other in stale if other)
    return below or any(_is_related(wanted, other) for wanted in imports for other in stale)


def _is_related(wanted: str, other: str) -> bool:
    return wanted == other or wanted.startswith(f"{other}.") or other.startswith(f"{wanted}.")


def _imported(name: str) -> str | None:
    """Import a module; return what is wrong with it, None when it is there."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        return None if error.name == name else f"ModuleNotFoundError: {error}"  # it is gone here too
    except (Exception, SystemExit) as error:  # noqa: BLE001  the user's own code runs, which may raise anything
        return f"{type(error).__name__}: {error}"
    return None


def _rebound(
    namespace: dict[str, Any], dropped: Mapping[str, types.ModuleType], broken: Mapping[str, str]
) -> list[str]:
    """Let names that stand for what was dropped stand for what was imported instead; tell of what was not."""
    told: dict[str, None] = {}
    for name, value in list(namespace.items()) if dropped else ():
        home = _home(value, dropped)
        if home in broken:
            told[_BROKEN.format(name=home, error=broken[home])] = None
        elif home is not None and (new := sys.modules.get(home)) is not None:
            namespace[name] = new if value is dropped[home] else getattr(new, value.__name__, value)
    return list(told)


def _home(value: Any, dropped: Mapping[str, types.ModuleType]) -> str | None:
    """Return the dropped module that a value is, or that defines it under its own name; else None."""
    kind = type(value)  # not isinstance: that may ask the user's `__class__`
    if issubclass(kind, types.ModuleType):
        return next((name for name, module in dropped.items() if module is value), None)
    if not issubclass(kind, (type, types.FunctionType, functools._lru_cache_wrapper)):
        return None
    home, name = getattr(value, "__module__", None), getattr(value, "__name__", None)
    is_there = isinstance(home, str) and home in dropped and isinstance(name, str)
    return home if is_there and vars(dropped[home]).get(name) is value else None
