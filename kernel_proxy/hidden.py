"""A text that does not show itself: the value of a variable, which belongs in no repr and no message."""

from __future__ import annotations


class Hidden(str):
    """A text whose repr says nothing of it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'"


class Typed(Hidden):
    """A hidden text that was typed into a notebook, where everyone who has the notebook can read it."""

    __slots__ = ()
