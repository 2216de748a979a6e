"""Why a value cannot travel, in words: value -> path to the part that cannot, its kind, what to do.

    failing value -> the same pickling again, in Python, with the chain of objects kept -> path, kind, hint

The fast pickler only says "cannot pickle '_thread.lock' object". Only after it failed, the value is pickled
once more into nothing by a slow pickler that remembers where it is; the work is bounded. No method of the
user's objects is called but those that pickling calls, and objects are told apart by identity.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import CellType, FunctionType
from typing import Any, Protocol

from remote_runtime.wire.kinds import Refused, kind_of

STEPS = 300_000
"""Objects visited before the search gives up: about a second."""

TEXT_CHARACTERS = 200
"""Longest text of a cause that goes into a message."""


@dataclass(eq=False)
class PackError(Exception):
    """A value cannot travel.

    Args:
        name: The variable.
        path: The part of it that cannot, as `model.trainer._lock`.
        kind: What that part is, in words.
        hint: What to do instead.
        cause: What pickling raised.
    """

    name: str
    path: str
    kind: str
    hint: str = ""
    cause: BaseException | None = None

    @property
    def message(self) -> str:
        """What happened, in one sentence."""
        subject = "it" if self.path == self.name else f"`{self.path}`"
        raw = self.cause is not None and not isinstance(self.cause, Refused)
        return f"`{self.name}` cannot travel: {subject} is {self.kind}" + (
            f" ({text_of(self.cause)})" if raw else ""
        )

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


@dataclass(eq=False)
class TooLarge(Exception):
    """The bundle passed its limit while it was packed.

    Args:
        name: The variable at which it did.
        limit_bytes: The limit.
    """

    name: str
    limit_bytes: int

    def __str__(self) -> str:
        return f"`{self.name}` takes the bundle over {self.limit_bytes} bytes"


class Rules(Protocol):
    """How a pickler reduces values: what the search has in common with the real one."""

    dispatch_table: Mapping[type, Any]

    def reducer_override(self, obj: object) -> Any:
        """Reduce a value, or return NotImplemented."""


@dataclass(frozen=True)
class Found:
    """The part of a value that cannot travel.

    Args:
        path: How to reach it, as `model.trainer._lock`.
        kind: What it is, with its article.
        hint: What to do instead.
    """

    path: str
    kind: str
    hint: str


def type_name(cls: type) -> str:
    """Return a class's name as its user writes it."""
    return (
        cls.__qualname__
        if cls.__module__ in ("builtins", "__main__")
        else f"{cls.__module__}.{cls.__qualname__}"
    )


def text_of(error: BaseException) -> str:
    """Return one line for an exception, also when its own text cannot be made."""
    try:
        lines = str(error).strip().splitlines() or [""]
    except Exception:  # noqa: BLE001  # a user's __str__ may raise anything; the class still says something
        lines = [""]
    text = lines[0][:TEXT_CHARACTERS]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def locate(name: str, value: object, cause: BaseException, tracer: Tracer) -> Found:
    """Find the part of a value that stopped its pickling.

    Args:
        name: The variable that holds the value.
        value: What could not be pickled.
        cause: What the pickler raised.
        tracer: A fresh one.
    """
    if is_changing(cause):
        return Found(name, "being changed by another thread", "hold that thread still, or send a copy of the value")
    if isinstance(cause.__cause__ or cause, RecursionError):
        return Found(name, "nested too deeply to be pickled", "make it flatter, or build it inside the cell")
    trail = tracer.follow(value) or [value]
    for index, part in enumerate(trail):
        kind = kind_of(type(part))
        if kind is not None:
            return Found(_path(name, trail[: index + 1]), kind.words + _detail(part), kind.hint)
    words = f"a `{type_name(type(trail[-1]))}`, which cannot be pickled"
    return Found(_path(name, trail), words, "create it inside the cell, or give its class a `__reduce__`")


def is_changing(cause: BaseException | None) -> bool:
    """Tell whether a value was changed by another thread while it was pickled."""
    return type(cause) is RuntimeError and text_of(cause).endswith(("during iteration", "mutated during iteration"))


class _Void:
    def write(self, data: object) -> None:
        """Drop what is written."""


class _Enough(Exception):
    """The search has taken too many steps."""


class Tracer(pickle._Pickler):  # type: ignore[name-defined,misc]  # the pickler in Python: its `save` can be extended
    """Pickles into nothing and remembers the chain of objects it is in.

    Args:
        rules: The pickler that failed.
        known: A value to pass over: the namespace itself.
    """

    def __init__(self, rules: Rules, known: object) -> None:
        super().__init__(_Void(), protocol=5, buffer_callback=lambda buffer: None)
        self.dispatch_table = rules.dispatch_table
        self.reducer_override = rules.reducer_override
        self.memo[id(known)] = (0, known)
        self._trail: list[object] = []
        self._steps = 0

    def follow(self, value: object) -> list[object]:
        """Return the chain from a value to the part that fails; empty when none does or it takes too long."""
        try:
            self.dump(value)
        except (_Enough, RecursionError):
            return []
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001  # whatever is raised is what is looked for: the chain ends there
            return self._trail
        return []

    def save(self, obj: object, save_persistent_id: bool = True) -> None:
        """Pickle a value; the chain is left as it is when that fails."""
        self._steps += 1
        if self._steps > STEPS:
            raise _Enough
        self._trail.append(obj)
        super().save(obj, save_persistent_id)
        self._trail.pop()


def _detail(part: object) -> str:
    kind = kind_of(type(part))
    if kind is None or "file" not in kind.words:
        return ""
    mode = getattr(part, "mode", None)
    return f" (mode {mode})" if isinstance(mode, str) else ""


def _path(name: str, trail: list[object]) -> str:
    """Write the chain as Python would reach it, leaving out what only pickling puts between two objects."""
    path, owner, inner = name, trail[0], False
    for parent, child in pairwise(trail):
        path += _label(parent, child, owner, inner)
        inner = type(child) in (dict, tuple) and (
            not _is_container(parent) or (inner and type(parent) is tuple)
        )
        if not inner and not _is(child, CellType, tuple):
            owner = child
    return path


def _is_container(value: object) -> bool:
    return type(value) in (dict, list, tuple, set, frozenset)


def _label(parent: object, child: object, owner: object, inner: bool) -> str:
    """Name the step from a parent to a child.

    Args:
        parent: The outer object.
        child: The inner one.
        owner: The nearest object around the child that the user knows.
        inner: Whether the parent is part of the owner's pickled state and no container of the user's own.
    """
    if inner and type(parent) is dict:
        return _attribute(parent, child)
    if _is(child, CellType) or not _is(parent, dict, list, tuple):
        return _attribute(_state(owner), child)
    return _item(owner if inner else parent, child) or (_attribute(_state(owner), child) if inner else "")


def _item(holder: object, child: object) -> str:
    if _is(holder, dict):
        return next((f"[{_key(k)}]" for k, v in dict.items(holder) if v is child), "")
    if _is(holder, list, tuple):
        items = list.__iter__(holder) if _is(holder, list) else tuple.__iter__(holder)
        return next((f"[{i}]" for i, v in enumerate(items) if v is child), "")
    return ""


def _is(value: object, *kinds: type) -> bool:
    """Tell an object's class without asking the object: its `__class__` may be the user's."""
    return issubclass(type(value), kinds)


def _state(value: object) -> dict[str, object]:
    if _is(value, FunctionType):
        return dict(zip(value.__code__.co_freevars, value.__closure__ or (), strict=False))
    try:
        return dict(object.__getattribute__(value, "__dict__"))
    except AttributeError:
        return {}


def _attribute(state: Mapping[Any, object], child: object) -> str:
    return next((f".{k}" for k, v in state.items() if v is child and k != "__closure__"), "")


def _key(key: object) -> str:
    plain = type(key) in (str, int, float, bool, bytes, type(None))
    return repr(key)[:40] if plain else f"<{type_name(type(key))}>"
