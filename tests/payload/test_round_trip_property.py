"""Any nest of containers, with any of its parts met twice, arrives with the same shape, values and aliases."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from remote_runtime.wire.payload import pack, unpack
from tests.payload.far import arrived, flat

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5)
KINDS = st.sampled_from(["list", "tuple", "dict", "bytearray", "object"])


class Node:
    pass


@st.composite
def heaps(draw: st.DrawFn) -> list[Any]:
    """Draw containers that hold leaves and each other; later ones may go into earlier ones, so there are cycles."""
    made: list[Any] = []
    for _ in range(draw(st.integers(1, 12))):
        parts = [draw(st.sampled_from(made) | LEAVES) if made else draw(LEAVES) for _ in range(draw(st.integers(0, 4)))]
        made.append(container(draw(KINDS), parts))
    for holder in [m for m in made if type(m) is list]:
        holder.append(draw(st.sampled_from(made)))
    return made


def container(kind: str, parts: list[Any]) -> Any:
    if kind == "object":
        node = Node()
        node.__dict__.update({f"a{i}": part for i, part in enumerate(parts)})
        return node
    if kind == "bytearray":
        return bytearray(len(parts))
    return {"list": list, "tuple": tuple, "dict": lambda p: dict(enumerate(p))}[kind](parts)


def portrait(root: Any) -> list[Any]:
    """Describe everything reachable: kinds and leaves in order, and which container each reference leads to."""
    numbers: dict[int, int] = {}
    lines: list[Any] = []
    todo = [root]
    while todo:
        value = todo.pop()
        if type(value) not in (list, tuple, dict, bytearray, Node):
            lines.append((type(value).__name__, repr(value)))
        elif id(value) in numbers and value != ():
            lines.append(("again", numbers[id(value)]))
        else:
            numbers[id(value)] = len(numbers)
            inner = vars(value) if type(value) is Node else value
            lines.append((type(value).__name__, len(inner), list(inner) if isinstance(inner, dict) else None))
            todo += list(inner.values()) if isinstance(inner, dict) else list(inner)
    return lines


@settings(max_examples=150, deadline=None)
@given(heaps())
def test_a_heap_arrives_as_it_was(made: list[Any]) -> None:
    bundle = pack({f"n{i}": value for i, value in enumerate(made)}, namespace={}).bundle
    values = unpack(arrived(*flat(bundle)), namespace={})
    assert portrait(list(values.values())) == portrait(made)
