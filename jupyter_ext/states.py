"""What may have happened to the names of a cell by a point of it, and what was met on the way there.

A `State` belongs to one point and is never changed: the walk moves from one to the next, and `join` says what
may hold where two ways meet. Names live in it as bits, so that joining is one `|` for all of them. `Facts`
are collected over the whole walk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class State(NamedTuple):
    """What may have happened to each name at one point of the cell; a bit stands for a name.

    Args:
        untouched: The cell may not have touched the name yet. All bits at first.
        bound: The cell's last act on the name may have been to bind it.
        deleted: The cell's last act on the name may have been to unbind it.
        live: Whether the point can be reached at all.
    """

    untouched: int = -1
    bound: int = 0
    deleted: int = 0
    live: bool = True

    def dead(self) -> State:
        """Return the same names at a point that is never reached, as after `raise`."""
        return self._replace(live=False)


def join(one: State | None, other: State | None) -> State | None:
    """Return what may hold where two ways meet; a way that is None or never reached adds nothing."""
    if one is None or other is None:
        return one or other
    if one.live != other.live:
        return one if one.live else other
    return State(
        one.untouched | other.untouched, one.bound | other.bound, one.deleted | other.deleted, one.live
    )


@dataclass
class Facts:
    """Names that a walk met, by how it met them.

    Args:
        read: Read at once, and not surely bound by the cell before.
        read_after_star: The same, after an `import *` that may have bound them.
        deferred: Read by a function's body, and not surely bound where the function was defined.
        settled: Read by a function's body, and surely bound where the function was defined.
        bound: Bound somewhere, to stay.
        caught: Bound by `except ... as`, which unbinds them again.
        bound_later: Bound by a function's body through `global`.
        unbound: Unbound somewhere by `del`.
        unbound_later: Unbound by a function's body through `global`.
        warnings: Sentences about access that the text does not show.
        refusals: Sentences about what cannot run remotely.
        star: Whether an `import *` was met.
        imports: Modules that are imported.
    """

    read: set[str] = field(default_factory=set)
    read_after_star: set[str] = field(default_factory=set)
    deferred: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)
    bound: set[str] = field(default_factory=set)
    caught: set[str] = field(default_factory=set)
    bound_later: set[str] = field(default_factory=set)
    unbound: set[str] = field(default_factory=set)
    unbound_later: set[str] = field(default_factory=set)
    warnings: dict[str, None] = field(default_factory=dict)
    refusals: dict[str, None] = field(default_factory=dict)
    star: bool = False
    imports: set[str] = field(default_factory=set)
