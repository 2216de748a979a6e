"""Name analysis: what a cell reads from, binds in and deletes from the notebook's namespace.

`plan` goes from text to sets, and looks at no value. The text alone decides (`lines` parses, `flow` walks,
both know nothing of the namespace) and its result is kept per text; the namespace is asked only which of its
names hide a builtin. The plan says what may happen: what was really bound is known after the run.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import lru_cache

from jupyter_ext.flow import Flow
from jupyter_ext.lines import parse
from jupyter_ext.states import Facts

# Every module has its own.
# fmt: off
_MODULE_NAMES = frozenset((
    "__name__", "__file__", "__doc__", "__package__", "__loader__", "__spec__", "__path__", "__cached__",
    "__builtins__", "__builtin__", "__annotations__", "__debug__", "__class__", "__import__",
    "__build_class__", "__IPYTHON__",
))
# fmt: on
# IPython puts these into the notebook's namespace, there as here.
_IPYTHON_NAMES = frozenset(
    ["get_ipython", "exit", "quit", "open", "display", "In", "Out", "_ih", "_oh", "_dh", "_i", "_ii", "_iii"]
)
_HISTORY = re.compile(r"In|Out|_oh|_ih|_i{1,3}|_i?\d+")
_BUILTINS = frozenset(dir(builtins)) - {"_"}


@dataclass(frozen=True)
class CellPlan:
    """What a cell may do with the notebook's names.

    Args:
        reads: Names that may be read before the cell certainly binds them.
        weak_reads: Names that functions of the cell may read and the cell itself may bind first; sent when
            present,
            their absence is no error.
        binds: Names that may be bound and are not surely deleted at the end.
        deletes: Names that may be unbound at the end.
        warnings: Sentences about access that the text does not show; they name `-i`.
        refusals: Sentences about what can never run remotely.
        star_import: Whether an `import *` may bind more names.
        imports: Modules that it imports, anywhere in it.
    """

    reads: frozenset[str]
    weak_reads: frozenset[str]
    binds: frozenset[str]
    deletes: frozenset[str]
    warnings: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    star_import: bool = False
    imports: frozenset[str] = frozenset()


def plan(cell: str, namespace: Mapping[str, object]) -> CellPlan:
    """Return what a cell may read, bind and delete.

    Args:
        cell: The cell's text without its magic line.
        namespace: The notebook's names; values are not looked at.

    Raises:
        SyntaxError: The cell does not compile; line numbers are the cell's own.
    """
    planned, caught = _plan_of_text(cell)
    hidden = {name for name in (planned.reads | planned.weak_reads) & _BUILTINS if name not in namespace}
    unbound = {name for name in caught if name in namespace}
    if not hidden and not unbound:
        return planned
    return replace(
        planned,
        reads=planned.reads - hidden,
        weak_reads=planned.weak_reads - hidden,
        deletes=planned.deletes | unbound,
    )


@lru_cache(maxsize=256)
def _plan_of_text(cell: str) -> tuple[CellPlan, frozenset[str]]:
    """Return the plan with builtins among its reads, and the names that only `except ... as` may unbind."""
    tree = parse(cell)
    try:
        walked = Flow(tree).run()
    except RecursionError:  # nested deeper than this analysis can follow, yet it compiles: assume the worst
        return _worst_plan(tree), frozenset()
    facts, end = walked.facts, walked.state
    unbound = walked.names_in(end.deleted | walked.unbound_at_raise) | facts.unbound_later
    surely_unbound = walked.names_in(end.deleted & ~end.bound & ~end.untouched) - facts.bound_later
    caught_only = facts.caught - facts.bound - facts.unbound
    reads, weak = _reads(facts)
    planned = CellPlan(
        reads=_ordinary(reads),
        weak_reads=_ordinary(weak - reads),
        binds=frozenset(facts.bound - surely_unbound),
        deletes=frozenset(unbound - caught_only),
        warnings=tuple(facts.warnings),
        refusals=(*facts.refusals, *_history_refusals(reads | weak)),
        star_import=facts.star,
        imports=frozenset(facts.imports),
    )
    return planned, frozenset(caught_only & unbound)


def _reads(facts: Facts) -> tuple[set[str], set[str]]:
    may_bind = facts.bound | facts.caught
    reads, weak = set(facts.read), facts.deferred & may_bind | facts.settled & facts.unbound
    if facts.star:
        return reads, weak | facts.read_after_star | facts.deferred
    return reads | (facts.deferred - may_bind), weak


def _ordinary(names: AbstractSet[str]) -> frozenset[str]:
    """Return the names that are the user's own or builtins."""
    return frozenset(
        name
        for name in names
        if name not in _MODULE_NAMES and name not in _IPYTHON_NAMES and not _HISTORY.fullmatch(name)
    )


def _history_refusals(names: AbstractSet[str]) -> list[str]:
    return [
        f"`{name}` is the history of this kernel, which stays here\nhint: assign it to a name first"
        for name in sorted(names)
        if _HISTORY.fullmatch(name)
    ]


def _worst_plan(tree: ast.Module) -> CellPlan:
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    bound = frozenset(node.id for node in names if isinstance(node.ctx, ast.Store))
    nothing: frozenset[str] = frozenset()
    return CellPlan(
        _ordinary(read), nothing, bound, nothing, ("the cell is nested too deeply to follow its names",)
    )
