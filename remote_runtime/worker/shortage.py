"""Exceptions that say a device has no memory left, and what holds it. Nothing is imported: classes are known by name.

    exception, its causes --named?--> Shortage(devices as they are read, names that hold most)

torch, CuPy, JAX and TensorFlow each have an exception of their own for it. What a name holds of a device is counted
through lists, dicts, modules and optimizers; memory that two parts of it share counts once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.worker import describe
from remote_runtime.worker.devicememory import DeviceMemory
from remote_runtime.worker.tracebacks import chain, text_of

LARGEST = 5
"""So many names are told."""

_DEPTH = 4
_PARTS = 20_000
"""What lies deeper, or beyond so many parts, is not counted."""

_ROWS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("torch", ("OutOfMemoryError",), ""),
    ("torch", ("AcceleratorError",), "out of memory"),
    ("builtins", ("RuntimeError",), "cuda out of memory"),
    ("builtins", ("RuntimeError",), "cuda error: out of memory"),
    ("builtins", ("RuntimeError",), "cublas_status_alloc_failed"),
    ("cupy", ("OutOfMemoryError",), ""),
    ("cupy_backends", ("CUDARuntimeError",), "cudaerrormemoryallocation"),
    ("jaxlib", ("XlaRuntimeError", "JaxRuntimeError"), "resource_exhausted"),
    ("jax", ("XlaRuntimeError", "JaxRuntimeError"), "resource_exhausted"),
    ("tensorflow", ("ResourceExhaustedError",), ""),
)
"""Where a class lives, what it is called, and what its text says in small letters."""


def names_it(error: BaseException | None) -> bool:
    """Tell whether an exception, or one that it came from, says that a device has no memory left."""
    return describe.asked(lambda: any(_is_named(link) for link in chain(error)), False)


def _is_named(error: BaseException) -> bool:
    kinds = [(str(kind.__module__).partition(".")[0], kind.__name__) for kind in type(error).__mro__]
    rows = [row for row in _ROWS if any(home == row[0] and name in row[1] for home, name in kinds)]
    return bool(rows) and any(said in text_of(error).lower() for _, _, said in rows)


def of(error: BaseException | None, memory: DeviceMemory, names: Iterable[tuple[str, Any]]) -> list[pb.Shortage]:
    """Return what explains an exception that says so; nothing for any other.

    Args:
        error: What a cell raised.
        memory: Of the session's devices.
        names: The session's.
    """
    if not names_it(error):
        return []
    return [pb.Shortage(devices=memory.read(), largest=largest(names))]


def largest(names: Iterable[tuple[str, Any]]) -> list[pb.Held]:
    """Return the names that hold most memory of devices, the largest first."""
    sizes = [(held_bytes(value), name, value) for name, value in list(names)]
    found = sorted((row for row in sizes if row[0]), key=lambda row: -row[0])[:LARGEST]
    return [_row(name, value, size) for size, name, value in found]


def held_bytes(value: Any) -> int:
    """Return how much memory of devices a value holds."""
    storages: dict[int, int] = {}
    seen: set[int] = set()
    todo = [(value, 0)]
    while todo and len(seen) < _PARTS:
        part, depth = todo.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        found = describe.asked(lambda part=part: _storage(part), None)
        if found is not None:
            storages[found[0]] = found[1]
        if depth < _DEPTH:
            todo += [(inner, depth + 1) for inner in describe.asked(lambda part=part: list(_inside(part)), [])]
    return sum(storages.values())


def _storage(value: Any) -> tuple[int, int] | None:
    """Return where a tensor's or an array's memory on a device lies, and its size: a view keeps all of it."""
    home = type(value).__module__.partition(".")[0]
    if describe.is_tensor(value):
        if not value.is_cuda:
            return None
        storage = value.untyped_storage()
        return int(storage.data_ptr()), int(storage.nbytes())
    if home == "cupy" and hasattr(value, "data"):
        return int(value.data.mem.ptr), int(value.data.mem.size)
    if home == "jaxlib" and any(device.platform != "cpu" for device in value.devices()):
        return id(value), int(value.nbytes)
    return None


def _inside(value: Any) -> Iterator[Any]:
    if describe.is_tensor(value):
        if value.grad is not None:
            yield value.grad
    elif describe.is_module(value):
        for parameter in value.parameters():
            yield from (parameter, parameter.grad)
        yield from value.buffers()
    elif isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from value
    elif isinstance(getattr(value, "param_groups", None), list):  # a torch optimizer
        yield from (value.state, value.param_groups)


def _row(name: str, value: Any, size_bytes: int) -> pb.Held:
    row = describe.described(name, value)
    row.size_bytes = size_bytes
    return row
