"""What an instance, a function or a cell of the user's holds, asked of the object and not of its class's methods.

    object -> attributes, slots, items, contents: what `digests` walks and `patches` takes
"""

from __future__ import annotations

import collections
import copyreg
import functools
import types
from typing import Any

HEAP = 1 << 9
"""Flag of a class that was made by `class`."""

_LIST, _DICT = 1 << 25, 1 << 29


@functools.lru_cache(maxsize=4096)
def slots_of(cls: type) -> tuple[str, ...]:
    """Return the names of a class's slots, as its instances know them."""
    return tuple(copyreg._slotnames(cls))  # type: ignore[attr-defined]


def slots_in(obj: object) -> dict[str, Any]:
    """Return what stands in the slots of an instance, without its class's own way of looking attributes up."""
    found = {}
    for name in slots_of(type(obj)):
        try:
            found[name] = object.__getattribute__(obj, name)
        except AttributeError:  # nothing stands there
            pass
    return found


def attributes_of(obj: object) -> dict[str, Any]:
    """Return the attributes that an instance keeps itself, without its class's own way of looking them up."""
    try:
        return object.__getattribute__(obj, "__dict__")  # type: ignore[no-any-return]
    except AttributeError:  # it has slots alone
        return {}


def base_of(kind: type) -> type:
    """Return the built-in class that keeps what instances of a class are made of."""
    return next(base for base in kind.__mro__ if not base.__flags__ & HEAP)


def items_of(obj: Any) -> tuple[Any, ...]:
    """Return the items of an instance of a subclass of list, dict or deque; of another, nothing."""
    flags = type(obj).__flags__
    if flags & _DICT:
        return (_factory_of(obj), *pairs_of(obj))
    if flags & _LIST:
        return tuple(list.__iter__(obj))
    return tuple(collections.deque.__iter__(obj)) if issubclass(type(obj), collections.deque) else ()


def pairs_of(obj: Any) -> Any:
    """Return the items of a dict as its built-in class orders them."""
    return collections.OrderedDict.items(obj) if issubclass(type(obj), collections.OrderedDict) else dict.items(obj)


def _factory_of(obj: Any) -> object:
    is_default = issubclass(type(obj), collections.defaultdict)
    return collections.defaultdict.default_factory.__get__(obj) if is_default else None  # type: ignore[attr-defined]


def contents_of(cell: types.CellType) -> Any:
    """Return what a closure's cell holds, in a tuple; an empty one where it is not bound yet."""
    try:
        return (cell.cell_contents,)
    except ValueError:  # not bound yet
        return ()
