"""What the notebook's namespace changes in a plan: only the names that hide a builtin."""

from __future__ import annotations

import pytest

from jupyter_ext.names import CellPlan, plan


class Untouchable(dict):
    """A namespace whose values must not be looked at."""

    def __getitem__(self, key: object) -> object:
        raise AssertionError(f"value of {key} was looked at")

    get = values = items = __getitem__


def test_values_are_not_looked_at() -> None:
    assert plan("print(x, list)", Untouchable(list=1, x=2)).reads == {"x", "list"}


def test_a_builtin_is_read_where_the_notebook_has_rebound_it() -> None:
    assert plan("print(max(x))", {}).reads == {"x"}
    assert plan("print(max(x))", {"max": None}).reads == {"x", "max"}
    assert plan("def f(): return max\nmax = 1", {"max": None}).weak_reads == {"max"}
    assert plan("def f(): return max\nmax = 1", {}).weak_reads == frozenset()


@pytest.mark.parametrize("name", ["open", "exit", "quit", "get_ipython", "display", "_dh", "__name__", "__builtins__"])
def test_what_ipython_itself_puts_there_is_never_read(name: str) -> None:
    assert plan(f"{name}; x", {name: None}).reads == {"x"}


def test_absent_names_are_planned_all_the_same() -> None:
    assert plan("a + b", {}) == plan("a + b", {"a": 1, "b": 2, "c": 3})


def test_the_name_of_a_handler_is_unbound_only_if_there_is_one() -> None:
    cell = "try: f()\nexcept E as e: pass"
    assert plan(cell, {}).deletes == frozenset()
    assert plan(cell, {"e": 1}).deletes == {"e"}


def test_star_import_is_told() -> None:
    assert plan("from a import *", {}).star_import
    assert not plan("from a import b", {}).star_import


def test_nothing_is_read_in_an_empty_cell() -> None:
    nothing: frozenset[str] = frozenset()
    assert plan("", {}) == CellPlan(nothing, nothing, nothing, nothing)


@pytest.mark.parametrize(
    "cell",
    [
        "total = " + " + ".join(f"a{i}" for i in range(900)),
        "if a0: pass\n" + "\n".join(f"elif a{i}: pass" for i in range(1, 900)),
        "s = a0" + "".join(f" or a{i}" for i in range(1, 900)),
        "x = f" + "".join(f".a(a{i})" for i in range(300)),
    ],
    ids=["sum", "elif", "or", "chain"],
)
def test_long_cells_are_followed(cell: str) -> None:
    assert {"a0", "a299"} <= plan(cell, {}).reads


def test_a_cell_nested_beyond_the_stack_is_planned_for_the_worst() -> None:
    planned = plan("y = z\nw = " + "-" * 600 + "x", {})
    assert planned.reads == {"x", "z"} and planned.binds == {"y", "w"}
    assert "too deeply" in planned.warnings[0]
