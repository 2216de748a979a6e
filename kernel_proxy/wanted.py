"""What a cell asks of the notebook, and what becomes of each name: the two ends of `gather`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Action = Literal["send", "reuse", "absent", "skip"]

@dataclass(frozen=True)
class Wanted:
    """What a cell asks of the notebook.

    Args:
        reads: Names that it may read before it binds them.
        weak_reads: Names that a function in it may read; sent if they are here and can travel.
        inputs: Remote name and local name of each `-i`.
        only: Whether the inputs are all; what their code uses travels nevertheless.
        fresh: Whether what the session has already travels again.
    """

    reads: frozenset[str]
    weak_reads: frozenset[str] = frozenset()
    inputs: tuple[tuple[str, str], ...] = ()
    only: bool = False
    fresh: bool = False


class Row(NamedTuple):
    """One name of the plan.

    Args:
        name: The remote name.
        why: `read`, `weak`, `-i`, `used by` and a variable, or `shared`.
        type_name: The value's class; empty when it is absent.
        size_bytes: What it adds to the bundle, or an estimate; None when unknown.
        action: What happens with it. `skip` stays here.
        problem: Why it cannot travel, or None.
        fix: What to do about that, or None.
    """

    name: str
    why: str
    type_name: str = ""
    size_bytes: int | None = None
    action: Action = "send"
    problem: str | None = None
    fix: str | None = None
