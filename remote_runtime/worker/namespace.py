"""Which names a run bound and deleted: the namespace before, compared with the namespace after.

    namespace, cell -> Before -> (the cell runs) -> bound, deleted

Comparing needs identities, and an identity only means something while the object lives. Keeping every old
object alive through the run would hold what the cell frees: `model = None` must give its memory back. So a
name that the cell's text binds or deletes is watched by a weak reference, the others by a plain one.
"""

from __future__ import annotations

import ast
import re
import types
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

_PRIVATE = re.compile(r"__\w*__|_{1,3}|_i{1,3}|_i?\d+|_exit_code")
_LIGHT = (type(None), int, float, complex, type, types.ModuleType, types.FunctionType)
_LIGHT_BYTES, _LIGHT_ITEMS = 4096, 256


class _Absent:
    """Stands for a value that stayed in the notebook."""

    def __repr__(self) -> str:
        return "<a value that stayed in the notebook>"


_ABSENT = _Absent()


class Names:
    """A session's namespace, told apart from what IPython keeps there.

    Args:
        namespace: The live `__main__.__dict__`.
        hidden: What IPython has put there; a name that the user has bound anew is the user's.
    """

    def __init__(self, namespace: dict[str, Any], hidden: Mapping[str, object]) -> None:
        self.namespace, self._hidden = namespace, hidden

    def alive(self) -> list[str]:
        """Return the user's names."""
        return [name for name, _ in self.items()]

    def items(self) -> list[tuple[str, object]]:
        """Return the user's names and their values."""
        hidden = self._hidden
        return [
            (name, value)
            for name, value in list(self.namespace.items())
            if hidden.get(name, _ABSENT) is not value  # first, as most names are IPython's
            and isinstance(name, str)
            and name.isidentifier()
            and not (name[:1] == "_" and _PRIVATE.fullmatch(name))
        ]


class Before:
    """The namespace as it was when a cell began.

    Args:
        names: The namespace.
        source: The cell as plain Python.
    """

    def __init__(self, names: Names, source: str) -> None:
        self._names = names
        self._held: dict[str, object] = {}
        self._weak: dict[str, weakref.ref[object] | int] = {}
        heavy = {}
        for name, value in names.items():
            (self._held if is_light(value) else heavy)[name] = value
        freed = bound_in(source) if any(name in source for name in heavy) else frozenset()
        for name, value in heavy.items():
            if name in freed:
                self._weak[name] = _mark(value)
            else:
                self._held[name] = value

    def bound(self) -> list[str]:
        """Return the names that are new or stand for another object now."""
        return [name for name, value in self._names.items() if not self._is_same(name, value)]

    def deleted(self) -> list[str]:
        """Return the names that are gone."""
        return [name for name in (*self._held, *self._weak) if name not in self._names.namespace]

    def _is_same(self, name: str, value: object) -> bool:
        mark = self._weak.get(name)
        if mark is None:
            return self._held.get(name, _ABSENT) is value
        # Without a weak reference the same address may be another object: then the name counts as bound.
        return value is not None and isinstance(mark, weakref.ref) and mark() is value


def _mark(value: object) -> weakref.ref[object] | int:
    try:
        return weakref.ref(value)
    except TypeError:
        return id(value)


def is_light(value: Any) -> bool:
    """Tell whether keeping an object alive through a run costs next to nothing."""
    kind = type(value)
    if _is(kind, (list, tuple, set, frozenset)):
        return len(value) <= _LIGHT_ITEMS and all(map(_is_small, value))
    if kind is dict:
        return len(value) <= _LIGHT_ITEMS and all(map(_is_small, value.values()))
    return _is_small(value)


def _is_small(value: Any) -> bool:
    kind = type(value)
    if _is(kind, (str, bytes)):
        return len(value) <= _LIGHT_BYTES
    return issubclass(kind, _LIGHT)  # not isinstance: that may ask the user's `__class__`


def _is(kind: type, kinds: tuple[type, ...]) -> bool:
    """Tell whether a class is one of some, without asking its metaclass, which may be the user's."""
    return any(kind is other for other in kinds)


def bound_in(source: str) -> frozenset[str]:
    """Return the names that a cell's text binds or deletes, in any scope, also within magics."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    return frozenset(name for node in ast.walk(tree) for name in _binds(node))


def deleted_in(source: str) -> frozenset[str]:
    """Return the names that a cell's text deletes somewhere, also as `except ... as` does."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    deleted = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Del)}
    return frozenset(deleted | {node.name for node in nodes if isinstance(node, ast.ExceptHandler) and node.name})


def _binds(node: ast.AST) -> Iterable[str]:
    if isinstance(node, ast.Name):
        return () if isinstance(node.ctx, ast.Load) else (node.id,)
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return (node.name,)
    if isinstance(node, ast.alias):
        return (node.asname or node.name.partition(".")[0],)
    if isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
        return (node.name,) if node.name else ()
    if isinstance(node, ast.MatchMapping):
        return (node.rest,) if node.rest else ()
    return _bound_by_magic(node) if isinstance(node, ast.Call) else ()


def _bound_by_magic(call: ast.Call) -> Iterable[str]:
    """Look into the code that a magic is given: `%%time` with a cell, `%time` with a line."""
    if getattr(call.func, "attr", "") not in ("run_cell_magic", "run_line_magic"):
        return ()
    texts = [part.value for part in call.args[1:] if isinstance(part, ast.Constant)]
    return frozenset(name for text in texts if isinstance(text, str) for name in bound_in(text))


class Stash:
    """Names put aside while a cell runs, so that what it binds under them is seen.

    Args:
        namespace: The live namespace.
        names: What to put aside.
        source: The cell as plain Python; for names that it deletes somewhere something stands meanwhile, so that
            a deletion is seen.
    """

    def __init__(self, namespace: dict[str, Any], names: Iterable[str], source: str = "") -> None:
        self._namespace = namespace
        deletes = deleted_in(source) if "del" in source or "except" in source else frozenset()
        self._aside = {name: namespace.pop(name, _ABSENT) for name in names if name in namespace or name in deletes}
        self._marked = [name for name in self._aside if name in deletes]
        namespace.update(dict.fromkeys(self._marked, _ABSENT))

    def restore(self) -> list[str]:
        """Put back what the cell has neither bound nor deleted.

        Returns:
            What it has deleted.
        """
        gone = [name for name in self._marked if name not in self._namespace]
        for name, value in self._aside.items():
            if self._namespace.get(name, _ABSENT) is not _ABSENT or name in gone:
                continue
            self._namespace.pop(name, None)
            if value is not _ABSENT:
                self._namespace[name] = value
        self._aside, self._marked = {}, []
        return gone
