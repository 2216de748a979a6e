"""Random small programs, and what a run of one really did to its namespace.

A program is built from lists of statements over a handful of names, with every way that control can take. Its run starts
with some names bound; the namespace records the first use of each name, which is what a plan must have foreseen.
"""

from __future__ import annotations

import ast
import builtins
from dataclasses import dataclass, field
from types import CodeType

from hypothesis import strategies as st

NAMES = ("a", "b", "c", "d", "e", "f", "g")
STEPS_MAX = 400

name = st.sampled_from(NAMES)


class OutOfSteps(BaseException):
    """The program runs too long."""


@dataclass
class Record(dict):  # type: ignore[type-arg]
    """A namespace that records what a program does before it has bound a name itself.

    Args:
        start: The names that are there at the start.
    """

    start: dict[str, object] = field(default_factory=dict)
    read_first: set[str] = field(default_factory=set)
    touched: set[str] = field(default_factory=set)
    steps: int = 0

    def __post_init__(self) -> None:
        super().update(self.start)

    def __getitem__(self, key: str) -> object:
        self.step()
        self._note_read(key)
        if key not in self and hasattr(builtins, key):
            return getattr(builtins, key)
        return super().__getitem__(key)

    def __setitem__(self, key: str, value: object) -> None:
        self.step()
        self.touched.add(key)
        super().__setitem__(key, value)

    def step(self) -> None:
        """Count one step; a loop calls it as `tick`."""
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise OutOfSteps

    def _note_read(self, key: str) -> None:
        # A store from inside a function passes this class by, and shows only as a new value.
        is_as_at_start = self.get(key) is self.start.get(key)
        if key in NAMES and key not in self.touched and is_as_at_start:
            self.read_first.add(key)

    def __delitem__(self, key: str) -> None:
        self._note_read(key)
        super().__delitem__(key)
        self.touched.add(key)


class Thing:
    """A value that can be called, iterated, subscripted, awaited for truth and entered, differently each time."""

    def __init__(self, choices: list[int]) -> None:
        self.choices = choices

    def _next(self) -> int:
        return self.choices.pop() if self.choices else 0

    def _maybe_raise(self) -> None:
        if self._next() == 3:
            raise ValueError

    def __call__(self, *_: object, **__: object) -> Thing:
        self._maybe_raise()
        return Thing(self.choices)

    def __iter__(self):  # type: ignore[no-untyped-def]
        self._maybe_raise()
        return iter([self] * (self._next() % 3))

    def __bool__(self) -> bool:
        return bool(self._next() % 2)

    def __enter__(self) -> Thing:
        self._maybe_raise()
        return self

    def __exit__(self, *_: object) -> bool:
        return bool(self._next() % 2)

    def __lt__(self, _: object) -> bool:
        return bool(self._next() % 2)

    def __add__(self, _: object) -> Thing:
        self._maybe_raise()
        return self


def can_be_stopped(tree: ast.AST) -> bool:
    """Whether the end of steps ends a program: `continue` under `finally` swallows whatever is raised."""
    finals = [node for node in ast.walk(tree) if isinstance(node, ast.Try) for node in node.finalbody]
    return not any(isinstance(node, ast.Continue) for final in finals for node in ast.walk(final))


def run(code: CodeType, bound: set[str], choices: list[int]) -> Record:
    """Run a program with some names bound to things, and return what it did."""
    things = {key: Thing(choices) for key in (*sorted(bound), "T")}
    record = Record(things | {"__name__": "cell", "__builtins__": builtins})
    dict.__setitem__(record, "tick", record.step)
    try:
        exec(code, record)
    except (Exception, OutOfSteps):
        pass  # how it ends is not the question; what it did until then is
    return record


def _indent(block: list[str]) -> list[str]:
    return ["    " + line for line in block] or ["    pass"]


expression = st.recursive(
    st.one_of(name, st.just("T")),
    lambda inner: st.one_of(
        st.builds("({} + {})".format, inner, inner),
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("(not {})".format, inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("(T < {} < {})".format, inner, inner),
        st.builds("T({})".format, inner),
        st.builds("({} := {})".format, name, inner),
        st.builds("[{} for {} in T if {}]".format, name, name, name),
        st.builds("[({} := T()) for _x in T if {}]".format, name, name),
        st.builds("list({} for _x in T)".format, name),
        st.builds("f'{{{}}}'".format, name),
        st.builds("(lambda: {})()".format, name),
        st.builds("(lambda {0}={1}: {0})".format, name, name),
        st.builds("{}()".format, name),
    ),
    max_leaves=4,
)
simple = st.one_of(
    st.builds("{} = {}".format, name, expression),
    st.builds("{} = {} = T".format, name, name),
    st.builds("{}, {} = T, {}".format, name, name, name),
    st.builds("{} += {}".format, name, expression),
    st.builds("{}: {} = T".format, name, name),
    st.builds("{}: T".format, name),
    st.builds("del {}".format, name),
    st.builds("{}".format, expression),
    st.builds("assert {}, {}".format, expression, name),
    st.just("raise ValueError"),
    st.just("import os as a"),
    st.builds("def {}(): return {}".format, name, name),
    st.builds("def {0}({1}={2}):\n    {3} = {1}\n    return {3}, {4}".format, name, name, name, name, name),
    st.builds("def {}():\n    global {}\n    {} = T()".format, name, name, name),
    st.builds("def {}():\n    global {}\n    del {}".format, name, name, name),
    st.builds("class {}:\n    {} = {}\n    def m(self): return {}".format, name, name, name, name),
).map(str.splitlines)


def _blocks(inner: st.SearchStrategy[list[str]]) -> st.SearchStrategy[list[str]]:
    block = st.lists(inner, min_size=1, max_size=3).map(lambda parts: [line for part in parts for line in part])
    body = block.map(_indent)
    loop_end = st.sampled_from([[], ["    break"], ["    if T: break"], ["    if T: continue"]])
    return st.one_of(
        st.builds(lambda c, x, y: [f"if {c}:", *x, "else:", *y], expression, body, body),
        st.builds(lambda c, x: [f"if {c}:", *x], expression, body),
        st.builds(lambda n, x, e, y: [f"for {n} in T:", *x, *e, *y, "else:", *y], name, body, loop_end, body),
        st.builds(lambda c, x, e, y: [f"while {c}:", "    tick()", *x, *e, *y], st.one_of(expression, st.just("True")), body, loop_end, body),
        st.builds(lambda x, n, y: ["try:", *x, f"except ValueError as {n}:", *y], body, name, body),
        st.builds(lambda x, y, z: ["try:", *x, "except (NameError, ValueError):", *y, "else:", *z], body, body, body),
        st.builds(lambda x, y: ["try:", *x, "finally:", *y], body, body),
        st.builds(lambda n, x: [f"with T as {n}:", *x], name, body),
        st.builds(lambda e, n, x, y: [f"match {e}:", f"    case {n} if T:", *_indent(x), "    case _:", *_indent(y)],
                  expression, name, body, body),
        st.builds(lambda n, x: [f"class {n}:", *x], name, body),
        block,
    )  # fmt: skip


program = st.lists(st.recursive(simple, _blocks, max_leaves=8), min_size=1, max_size=5).map(
    lambda parts: "\n".join(line for part in parts for line in part)
)
straight_program = st.lists(
    st.one_of(
        st.builds("{} = T".format, name),
        st.builds("{} = {}".format, name, name),
        st.builds("{}, {} = {}, {}".format, name, name, name, name),
        st.builds("{} = T({}, {})".format, name, name, name),
        st.builds("{} += {}".format, name, name),
        st.builds("({} := {}) + {}".format, name, name, name),
    ),
    min_size=1,
    max_size=8,
).map("\n".join)
