"""Objects that both ends hold, by number: the same number stands for the one object here and its twin there.

    object -> number, on its way out        number -> object, on its way in

A number is given once and never again. Where a kind of object allows it, the table holds it weakly, so that what the
user lets go of is gone; lists, dicts, sets and bytearrays are held until no name owns them.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterable
from functools import partial

_TABLES_OWN = 2
"""References to an object that only the table holds, as `sys.getrefcount` counts them: its own, and the argument."""

ALONE = -1
"""In the place of a carrier: the array lies in memory otherwise at the two ends, so that it can carry none itself."""

Held = Callable[[], object | None]

_STRONG = frozenset({list, dict, set, frozenset, tuple, bytearray, str, bytes, int, float, complex, bool, type(None)})


def held(obj: object, on_death: Callable[[], None] | None = None) -> Held:
    """Return what gives an object as long as it lives; it lives on by this alone only where it must.

    Args:
        obj: Any object.
        on_death: Called when it is gone.
    """
    if type(obj) not in _STRONG:
        try:
            return weakref.ref(obj, (lambda _: on_death()) if on_death is not None else None)
        except TypeError:
            pass
    return lambda: obj


def is_held_anyway(obj: object) -> bool:
    """Tell whether a table or a record keeps an object alive by itself."""
    return type(obj) in _STRONG


class Twins:
    """The table of one end.

    Args:
        side: 0 or 1; the two ends give odd and even numbers, so they never give the same.
    """

    def __init__(self, side: int) -> None:
        self._next = 2 + side
        self._objects: dict[int, Held] = {}
        self._numbers: dict[int, int] = {}
        self._owners: dict[int, set[str]] = {}
        self.leaves: dict[int, bytes] = {}
        self.views: dict[int, int] = {}
        """Number of an array that is a view at both ends -> number of the array that carries it, or `ALONE`."""

    def number(self, obj: object) -> int:
        """Return an object's number; 0 when it has none."""
        return self._numbers.get(id(obj), 0)

    def number_at(self, key: int) -> int:
        """Return the number of the object with an identity; 0 when it has none."""
        return self._numbers.get(key, 0)

    def object(self, number: int) -> object | None:
        """Return the object of a number; None when it is gone."""
        found = self._objects.get(number)
        return None if found is None else found()

    def owners(self, number: int) -> set[str]:
        """Return the names in whose values an object was met."""
        return self._owners.get(number, set())

    def shares_memory(self, number: int) -> bool:
        """Tell whether an array is a view of another at both ends, or carries one."""
        return self.views.get(number, ALONE) != ALONE or number in self.views.values()

    def family(self, number: int) -> int:
        """Return the number of the array that carries another, itself or through others; its own where none does."""
        while self.views.get(number, ALONE) != ALONE:
            number = self.views[number]
        return number

    def name(self, objects: Iterable[object]) -> list[int]:
        """Give new numbers to objects, in order."""
        numbers = []
        for obj in objects:
            self.bind(self._next, obj)
            numbers.append(self._next)
            self._next += 2
        return numbers

    def bind(self, number: int, obj: object) -> None:
        """Let a number stand for an object."""
        self._part(number)
        before = self._numbers.get(id(obj))
        if before is not None:
            self._part(before)
        key = id(obj)
        self._objects[number] = held(obj, partial(self._died, number, key))
        self._numbers[key] = number

    def own(self, name: str, numbers: Iterable[int]) -> None:
        """Note that a name's value holds objects."""
        for number in numbers:
            self._owners.setdefault(number, set()).add(name)

    def disown(self, name: str, numbers: Iterable[int]) -> None:
        """Note that a name's value no longer holds objects; one that nobody owns is let go of."""
        for number in numbers:
            owners = self._owners.get(number)
            if owners is None:
                continue
            owners.discard(name)
            if not owners:
                self.drop(number)

    def release(self, name: str, numbers: Iterable[int]) -> None:
        """Let go of objects that only one name owns and nobody else holds; an equal value may take their numbers."""
        for number in numbers:
            found = self._objects.get(number)
            if found is None or isinstance(found, weakref.ref) or self._owners.get(number) != {name}:
                continue
            if sys.getrefcount(found()) <= _TABLES_OWN:
                self._part(number)

    def is_aliased(self, number: int) -> bool:
        """Tell whether an object that is not held strongly here is held by more than one of the user's."""
        found = self._objects.get(number)
        obj = found() if isinstance(found, weakref.ref) else None
        return obj is not None and sys.getrefcount(obj) > _TABLES_OWN + 1

    def drop(self, number: int) -> None:
        """Let go of an object."""
        self._part(number)
        self._owners.pop(number, None)
        self.leaves.pop(number, None)
        self.views.pop(number, None)

    def clear(self) -> None:
        """Let go of all of them; numbers given from now on are new."""
        for table in (self._objects, self._numbers, self._owners, self.leaves, self.views):
            table.clear()  # type: ignore[attr-defined]

    def _part(self, number: int) -> None:
        found = self._objects.pop(number, None)
        obj = found() if found is not None else None
        if obj is not None and self._numbers.get(id(obj)) == number:
            del self._numbers[id(obj)]

    def _died(self, number: int, key: int) -> None:
        # Called by the garbage collector, anywhere: single operations on dicts only.
        if self._numbers.get(key) == number:
            self._numbers.pop(key, None)
        self._objects.pop(number, None)
