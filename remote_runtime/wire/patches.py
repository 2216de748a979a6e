"""The contents of an object, taken at one end and given to its twin at the other, in place.

    object -> take -> (kind, content) -> bundle -> give -> the twin holds what the object held

A content is a shallow copy: what it refers to are the object's own parts, so that a part that has a twin is met as
that twin. An object that cannot be changed in place, or whose twin is of another shape, has none.
"""

from __future__ import annotations

import copyreg
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

from remote_runtime.wire import problems
from remote_runtime.wire.digests import Walker, way_of
from remote_runtime.wire.insides import attributes_of, base_of, contents_of, pairs_of, slots_in, slots_of

Content = tuple[str, Any]


class Unfit(Exception):
    """A twin cannot take a content."""


def take(obj: Any) -> Content | None:
    """Return an object's contents; None where its twin could not take them in place."""
    kind = type(obj)
    if kind in _BUILT_IN:
        return _BUILT_IN[kind](obj)
    way = way_of(kind)
    if way is Walker.function:
        return "function", _function_state(obj)
    if way is Walker.plain:
        return "instance", (dict(attributes_of(obj)), slots_in(obj), _items(obj))
    if way is Walker.array and not obj.dtype.hasobject:
        return ("array", obj.view(sys.modules["numpy"].ndarray)) if obj.flags.writeable else None
    if way is Walker.tensor:
        return ("tensor", (obj.detach(), obj.grad)) if obj.device.type == "cpu" else None
    return _state(obj) if way is not Walker.classes else None


def give(obj: Any, content: Content) -> None:
    """Let an object hold a content.

    Raises:
        Unfit: It is of another class or shape, or cannot be changed.
    """
    kind, held = content
    try:
        _GIVE[kind](obj, held)
    except (Unfit, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001  # the object's class is the user's: it may raise anything
        raise Unfit(problems.text_of(error)) from error


_BUILT_IN: Mapping[type, Callable[[Any], Content]] = {
    list: lambda obj: ("list", obj.copy()),
    dict: lambda obj: ("dict", obj.copy()),
    set: lambda obj: ("set", list(obj)),
    bytearray: lambda obj: ("bytes", bytes(obj)),
}


def _function_state(func: types.FunctionType) -> tuple[Any, ...]:
    cells = [contents_of(cell) for cell in func.__closure__ or ()]
    return func.__code__, func.__defaults__, func.__kwdefaults__, dict(func.__dict__), cells


def _items(obj: Any) -> list[Any] | None:
    if isinstance(obj, dict):
        return list(pairs_of(obj))
    return list(base_of(type(obj)).__iter__(obj)) if base_of(type(obj)) is not object else None  # type: ignore[attr-defined]


def _state(obj: Any) -> Content | None:
    """Return what a class that pickles in its own way wants to be rebuilt from, where that is a state alone."""
    reduced = obj.__reduce_ex__(5)
    if not isinstance(reduced, tuple) or len(reduced) < 3 or reduced[2] is None or any(reduced[3:]):
        return None
    made, args = reduced[0], reduced[1]
    is_new = made is copyreg.__newobj__ and args == (type(obj),)  # type: ignore[attr-defined]
    return ("state", reduced[2]) if is_new or getattr(made, "__name__", "") == "_reconstruct" else None


# ---- giving ---------------------------------------------------------------------------------------------------


def _same(obj: Any, *kinds: type) -> None:
    if type(obj) not in kinds:
        raise Unfit(f"it is a {type(obj).__name__} there")


def _give_list(obj: Any, held: list[Any]) -> None:
    _same(obj, list)
    obj[:] = held


def _give_dict(obj: Any, held: dict[Any, Any]) -> None:
    _same(obj, dict)
    obj.clear()
    obj.update(held)


def _give_set(obj: Any, held: list[Any]) -> None:
    _same(obj, set)
    obj.clear()
    obj.update(held)


def _give_bytes(obj: Any, held: bytes) -> None:
    _same(obj, bytearray)
    obj[:] = held


def _give_function(func: Any, held: tuple[Any, ...]) -> None:
    _same(func, types.FunctionType)
    code, defaults, kwdefaults, attributes, cells = held
    if len(func.__closure__ or ()) != len(cells):
        raise Unfit("its closure is another")
    func.__code__, func.__defaults__, func.__kwdefaults__ = code, defaults, kwdefaults
    func.__dict__.clear()
    func.__dict__.update(attributes)
    for cell, found in zip(func.__closure__ or (), cells, strict=True):
        if found:
            cell.cell_contents = found[0]


def _give_instance(obj: Any, held: tuple[dict[str, Any], dict[str, Any], list[Any] | None]) -> None:
    attributes, slots, items = held
    mine, former = attributes_of(obj), slots_in(obj)
    mine.clear()
    mine.update(attributes)
    for name in slots_of(type(obj)):
        if name in slots:
            object.__setattr__(obj, name, slots[name])
        elif name in former:
            object.__delattr__(obj, name)
    if items is not None:
        _give_items(obj, items)


def _give_items(obj: Any, items: list[Any]) -> None:
    base = base_of(type(obj))
    base.clear(obj)  # type: ignore[attr-defined]
    if isinstance(obj, dict):
        for key, value in items:
            base.__setitem__(obj, key, value)  # type: ignore[attr-defined]
    else:
        base.extend(obj, items)  # type: ignore[attr-defined]


def _give_array(obj: Any, held: Any) -> None:
    if getattr(obj, "shape", None) != held.shape or obj.dtype != held.dtype:
        raise Unfit(f"its shape or dtype is another: {getattr(obj, 'shape', '-')}")
    obj[...] = held


def _give_tensor(obj: Any, held: Any) -> None:
    values, grad = held
    if obj.shape != values.shape or obj.dtype != values.dtype:
        raise Unfit(f"its shape or dtype is another: {tuple(obj.shape)}")
    obj.detach().copy_(values)
    obj.grad = grad


def _give_state(obj: Any, held: Any) -> None:
    if hasattr(obj, "__setstate__"):
        obj.__setstate__(held)
    else:
        obj.__dict__.clear()
        obj.__dict__.update(held)


_GIVE: Mapping[str, Callable[[Any, Any], None]] = {
    "list": _give_list,
    "dict": _give_dict,
    "set": _give_set,
    "bytes": _give_bytes,
    "function": _give_function,
    "instance": _give_instance,
    "array": _give_array,
    "tensor": _give_tensor,
    "state": _give_state,
}
