"""Immutable values without identity worth keeping, which are compared by themselves."""

from __future__ import annotations

ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented), range})
"""Immutable kinds that are compared by value, without a walk."""


def same_atom(mine: object, other: object) -> bool:
    """Tell whether two values of the kinds in `ATOMS` are the same, also where `==` is too generous (0.0, -0.0)."""
    if mine is other:
        return True
    kind = type(mine)
    if kind is not type(other):
        return False
    return repr(mine) == repr(other) if kind in (float, complex) else mine == other
