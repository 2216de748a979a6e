"""Where modules come from: the user's own folders, or an installation.

    top-level name -> sys.modules, else the path -> Place, or None for what is installed

A module is local when its file lies outside every folder of installed packages and of the standard library: beside
the notebook, on a path entry of the user's, or where an editable install points. Answers are kept as long as the
module, or the path, stays the same.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["file", "package", "namespace", "compiled"]

_INSTALLED_PARTS = frozenset({"site-packages", "dist-packages"})
_STANDARD = tuple({os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib")})
_ROOT = Path(__file__).resolve().parents[1]
_OWN = tuple(os.path.join(_ROOT, name, "") for name in ("warmcell", "jupyter_ext", "kernel_proxy", "remote_runtime"))
_COMPILED = (*importlib.machinery.EXTENSION_SUFFIXES, ".so", ".pyd", ".pyc")


@dataclass(frozen=True)
class Place:
    """Where a local top-level module lies.

    Args:
        name: The module.
        kind: A file, a package, a package without `__init__`, or a file that is compiled.
        paths: The file, or the package's folders.
    """

    name: str
    kind: Kind
    paths: tuple[str, ...]


class Places:
    """Finds local modules, and remembers where they are."""

    def __init__(self) -> None:
        self._loaded: dict[str, tuple[object, Place | None]] = {}
        self._unloaded: dict[str, Place | None] = {}
        self._stamp: tuple[Any, ...] = ()
        self._seen: tuple[Any, ...] = ()
        self._local: frozenset[str] = frozenset()
        self._folders: dict[str, tuple[object, frozenset[str]]] = {}
        self._path: tuple[str, ...] = ()
        self._own_folders: list[str] = []

    def of(self, name: str) -> Place | None:
        """Return where a top-level module lies; None where it is installed, built in, or nowhere."""
        module = sys.modules.get(name)
        if module is not None:
            known = self._loaded.get(name)
            if known is None or known[0] is not module:
                known = self._loaded[name] = module, _of_module(name, module)
            return known[1]
        stamp = _stamp()
        if stamp != self._stamp:
            self._unloaded, self._stamp = {}, stamp
        if name not in self._unloaded:
            self._unloaded[name] = _of_spec(name, _found(name))
        return self._unloaded[name]

    def imported(self) -> frozenset[str]:
        """Return the local top-level modules that this process has imported; costs nothing where none came since."""
        seen = (len(sys.modules), next(reversed(sys.modules)))
        if seen != self._seen:
            names = [name for name in list(sys.modules) if "." not in name]
            self._local = frozenset(name for name in names if self.of(name) is not None)
            self._seen = seen
        return self._local

    def importable(self) -> frozenset[str]:
        """Return the top-level modules that lie in the user's folders on the path, imported or not."""
        path = os.getcwd(), *sys.path
        if path != self._path:
            own = (entry or path[0] for entry in path if isinstance(entry, str) and not is_installed(entry))
            self._path, self._own_folders = path, list(dict.fromkeys(map(os.path.abspath, own)))
        return frozenset().union(*map(self._in_folder, self._own_folders))

    def _in_folder(self, folder: str) -> frozenset[str]:
        try:
            changed_ns = os.stat(folder).st_mtime_ns
        except OSError:
            return frozenset()
        known = self._folders.get(folder)
        if known is None or known[0] != changed_ns:
            known = self._folders[folder] = changed_ns, _modules_in(folder)
        return known[1]


def is_installed(path: str) -> bool:
    """Tell whether a file belongs to an installation rather than to the user."""
    whole = os.path.join(path, "")
    return whole.startswith((*_STANDARD, *_OWN)) or not _INSTALLED_PARTS.isdisjoint(whole.split(os.sep))


def _stamp() -> tuple[Any, ...]:
    """Return what changes when the path may lead to other modules."""
    return os.getcwd(), len(sys.meta_path), *((entry, _time_ns(entry or ".")) for entry in sys.path)


def _time_ns(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except (OSError, ValueError, TypeError):
        return 0


def _of_module(name: str, module: object) -> Place | None:
    names = getattr(module, "__dict__", {})
    spec = names.get("__spec__")
    if name in ("__main__", "__mp_main__") or not isinstance(spec, importlib.machinery.ModuleSpec):
        return None
    return _of_spec(name, spec)


def _found(name: str) -> importlib.machinery.ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):  # what stands in the path or among the finders is the user's
        return None


def _of_spec(name: str, spec: importlib.machinery.ModuleSpec | None) -> Place | None:
    if spec is None:
        return None
    folders = _local_folders(spec)
    if not spec.has_location or spec.origin is None:
        return Place(name, "namespace", folders) if folders else None
    origin = os.path.abspath(spec.origin)
    if is_installed(origin) or not os.path.isdir(os.path.dirname(origin)):  # the other case is a zip file
        return None
    if spec.submodule_search_locations is not None:
        return Place(name, "package", folders or (os.path.dirname(origin),))
    return Place(name, "compiled" if origin.endswith(_COMPILED) else "file", (origin,))


def _local_folders(spec: importlib.machinery.ModuleSpec) -> tuple[str, ...]:
    found = [os.path.abspath(path) for path in spec.submodule_search_locations or ()]
    return tuple(path for path in found if not is_installed(path) and os.path.isdir(path))


def _modules_in(folder: str) -> frozenset[str]:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries]
    files = {name.removesuffix(".py") for name in names if name.endswith(".py")}
    maybe = (name for name in names if name.isidentifier())
    packages = {name for name in maybe if os.path.isfile(os.path.join(folder, name, "__init__.py"))}
    return frozenset(packages.union(name for name in files if name.isidentifier()))
