"""What goes back to the notebook by value and what stays as a handle.

    bound names -> surely large or on a GPU: Held
                -> the rest: one bundle; where that fails or is too large, each name on trial, then one bundle

One bundle, because two pickles would part what is one object. A handle's token keeps its object alive until
the notebook drops it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from remote_runtime.wire import data, limits, payload
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from remote_runtime.worker import describe
from remote_runtime.worker.mirrors import Changes
from remote_runtime.worker.writeback import EXCEPTION, Writeback, reason

SIZE, CUDA, KEEP, INTERRUPTED = "size", "cuda", "keep", "interrupted"
_DEPTH, _ITEMS = 2, 1000


class Registry:
    """Objects that handles stand for, each kept alive by its token."""

    def __init__(self) -> None:
        self._objects: dict[str, object] = {}

    def keep(self, value: object) -> str:
        """Keep an object alive and return its token."""
        token = secrets.token_hex(8)
        self._objects[token] = value
        return token

    def resolve(self, token: object) -> object:
        """Return the object of a token.

        Raises:
            Failed: code "not-found", when the token was dropped or is of an earlier process.
        """
        if not isinstance(token, str) or token not in self._objects:
            raise Failed(
                "not-found", f"no value has the handle {token}", "run the cell again that made the value"
            )
        return self._objects[token]

    def drop(self, tokens: Iterable[str]) -> None:
        """Let go of objects; an unknown token is one that is gone already."""
        for token in tokens:
            self._objects.pop(token, None)

    def drop_values(self, values: Iterable[object]) -> None:
        """Let go of certain objects, whatever their tokens."""
        gone = {id(value) for value in values}
        self._objects = {token: value for token, value in self._objects.items() if id(value) not in gone}


@dataclass(frozen=True)
class Rule:
    """What a run wants back.

    Args:
        none: Nothing but what is in `force`.
        force: Names copied whatever their size.
        keep: Names that stay remote whatever their size.
        name_bytes: The most that one name may take.
        total_bytes: The most that all together may take.
        data_only: Whether what is no data stays.
    """

    none: bool = False
    force: frozenset[str] = frozenset()
    keep: frozenset[str] = frozenset()
    name_bytes: int = limits.NAME_RETURN_BYTES
    total_bytes: int = limits.TOTAL_RETURN_BYTES
    data_only: bool = False

    @classmethod
    def of(cls, asked: pb.Returns) -> Rule:
        """Read a run's wishes; a limit of 0 means the default."""
        return cls(
            none=asked.none,
            force=frozenset(asked.force),
            keep=frozenset(asked.keep),
            name_bytes=asked.name_limit_bytes or limits.NAME_RETURN_BYTES,
            total_bytes=asked.total_limit_bytes or limits.TOTAL_RETURN_BYTES,
            data_only=asked.data_only,
        )


@dataclass
class Sorted:
    """Values on their way back.

    Args:
        values: What may still travel.
        why: Names that stay, each with its reason.
    """

    values: dict[str, Any]
    why: dict[str, str] = field(default_factory=dict)

    def stay(self, name: str, why: str) -> None:
        """Move a name to those that stay."""
        del self.values[name]
        self.why[name] = why


@dataclass
class Chosen:
    """What goes back with a run's end.

    Args:
        packed: The bundle; None when nothing travels.
        why: Names that stay as handles, each with its reason.
        updated: Inputs whose changes the bundle tells.
        ahead: Inputs that changed here and are not told, each with the reason.
        changes: What the run did to names that its kernel holds.
    """

    packed: payload.Packed | None = None
    why: dict[str, str] = field(default_factory=dict)
    updated: list[str] = field(default_factory=list)
    ahead: dict[str, str] = field(default_factory=dict)
    changes: Changes = field(default_factory=Changes)


def choose(
    values: Mapping[str, object], rule: Rule, namespace: dict[str, Any], changes: Changes | None = None
) -> Chosen:
    """Decide what travels and pickle it.

    Args:
        values: What the run bound, its last value and its exception under their names.
        rule: What the run wants back.
        namespace: The session's.
        changes: What it did to names that its kernel holds.

    Returns:
        The bundle, and the names that stay, each with its reason. A value that cannot travel stays, its reason
        says why.
    """
    changes = changes if changes is not None else Changes()
    found = Sorted({n: v for n, v in values.items() if not rule.none or n in rule.force or n == EXCEPTION})
    for name, value in list(found.values.items()):
        why = _stays_unseen(name, value, rule)
        if why:
            found.stay(name, why)
    writeback = Writeback(changes, namespace)
    writeback.expect(found.values)
    if rule.data_only:
        writeback.keep_to_data()
    packed = _all_at_once(found, rule, writeback)
    if packed is None and (found.values or writeback.tells):
        sizes = _on_trial(found, rule, writeback)
        _fit_total(found, sizes, rule)
        packed = _what_is_left(found, writeback)
    found.why.pop(EXCEPTION, None)
    writeback.settle(packed)
    return Chosen(packed, found.why, writeback.updated, writeback.ahead, changes)


def _stays_unseen(name: str, value: object, rule: Rule) -> str:
    """Tell why a value stays, where no pickling is needed to know."""
    if name in rule.keep:
        return KEEP
    if rule.data_only and data.why_not(value):
        return data.WHY
    if name in rule.force:
        return ""
    if on_cuda(value):
        return CUDA
    size = describe.size_bytes(value)
    return SIZE if size is not None and size > rule.name_bytes else ""


def on_cuda(value: Any, depth: int = _DEPTH) -> bool:
    """Tell whether a value, or a part of a small container, lives on a GPU."""
    kind = type(value)  # compared by identity: `in` would ask a metaclass of the user's
    if kind is list or kind is tuple or kind is dict:
        parts = list(value.values() if kind is dict else value)
        return depth > 0 and len(parts) <= _ITEMS and any(on_cuda(part, depth - 1) for part in parts)
    return describe.device(value).startswith("cuda")


def _all_at_once(found: Sorted, rule: Rule, writeback: Writeback) -> payload.Packed | None:
    """Pickle everything, on the hope that it is small; None when it is not."""
    if not found.values and not writeback.tells:
        return None
    limit = None if rule.force & found.values.keys() or writeback.tells else rule.total_bytes
    try:
        packed = writeback.pack(found.values, limit)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001  pickling runs the user's code; which name it was, the trial tells
        return None
    free = rule.force | writeback.names
    sizes = {name: size for name, size in packed.sizes.items() if name not in free}
    fits = max(sizes.values(), default=0) <= rule.name_bytes and sum(sizes.values()) <= rule.total_bytes
    return packed if fits else None


def _on_trial(found: Sorted, rule: Rule, writeback: Writeback) -> dict[str, int]:
    """Pickle each name by itself; return the sizes of those that may travel."""
    sizes = {}
    for name, value in list(found.values.items()):
        limit = None if name in rule.force else rule.name_bytes
        try:
            sizes[name] = writeback.trial(name, value, limit)
        except payload.TooLarge:
            found.stay(name, SIZE)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  pickling runs the user's code, which may even exit
            found.stay(name, reason(error))
    return sizes


def _fit_total(found: Sorted, sizes: Mapping[str, int], rule: Rule) -> None:
    """Let the largest stay until the rest fits; what is forced travels and counts for nothing."""
    total = 0
    for name in sorted(sizes, key=lambda name: sizes[name]):
        if name in rule.force:
            continue
        total += sizes[name]
        if total > rule.total_bytes:
            found.stay(name, SIZE)


def _what_is_left(found: Sorted, writeback: Writeback) -> payload.Packed | None:
    """Pickle in one bundle what passed its trial; what fails now, a moment later, stays."""
    while found.values or writeback.tells:
        try:
            return writeback.pack(found.values, None)
        except payload.PackError as error:
            if error.name not in found.values:
                raise
            found.stay(error.name, reason(error))
    return None


def can_return(error: BaseException, namespace: dict[str, Any], limit_bytes: int) -> bool:
    """Tell whether an exception can be pickled, and rebuilt as the same class.

    Args:
        error: The exception.
        namespace: The session's.
        limit_bytes: The most that it may take.
    """
    try:
        packed = payload.pack({EXCEPTION: error}, namespace=namespace, limit_bytes=limit_bytes)
        return type(payload.unpack(packed.bundle, namespace=namespace)[EXCEPTION]) is type(error)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001  its class is the user's: `__reduce__` and `__init__` may raise anything
        return False
