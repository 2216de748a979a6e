"""What can be told of a value without moving it: type, size, shape, dtype, device, a preview.

    name, value -> Held

Values are the user's: their attributes and `repr` may raise, lie or be long, so each fact is asked for by
itself, and what does not come as expected is left out. numpy, torch and pandas are known by what their
objects look like; none is imported here.
"""

from __future__ import annotations

import itertools
import reprlib
import types
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from remote_runtime.wire import messages_pb2 as pb

PREVIEW_CHARACTERS = 120
FIRST_ITEMS = 6

T = TypeVar("T")

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60
_BUILTIN = (bool, int, float, complex, str, bytes, bytearray, type(None), list, tuple, dict, set, frozenset)
_CODE = (type, types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.ModuleType)


def described(name: str, value: object, *, token: str = "", why: str = "") -> pb.Held:
    """Describe a value.

    Args:
        name: Under which it stands in the session.
        value: What it is.
        token: Keeps it alive; empty in a listing.
        why: Why it stays remote; empty in a listing.
    """
    held = pb.Held(name=name, token=token, why=clean(why), type_name=clean(type_name(type(value))))
    size, shape = size_bytes(value), _shape(value)
    if size is not None:
        held.size_bytes = size
    if shape is not None:
        held.has_shape = True
        held.shape.extend(shape)
    held.dtype, held.device = clean(_dtype(value)), clean(device(value))
    held.preview = preview(value)
    return held


def clean(text: str) -> str:
    """Return text that a message can hold: without halves of characters."""
    return text.encode("utf-8", "replace").decode()


def type_name(kind: type) -> str:
    """Return a class's name as its user writes it."""
    home = str(getattr(kind, "__module__", ""))
    name = str(getattr(kind, "__qualname__", kind))
    return name if home in ("builtins", "__main__") else f"{home.partition('.')[0]}.{name}"


def asked(ask: Callable[[], T], default: T) -> T:
    """Return an answer of a user's object, or the default where it raises."""
    try:
        return ask()
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001  a user's property, __class__ or __repr__ may raise anything, SystemExit too
        return default


def is_module(value: Any) -> bool:
    """Tell whether a value is a torch module."""
    return _has_base(value, "torch.nn.", "Module")


def is_tensor(value: Any) -> bool:
    """Tell whether a value is a torch tensor."""
    return _has_base(value, "torch", "Tensor")


def _has_base(value: object, home: str, name: str) -> bool:
    bases = type(value).__mro__
    return any(base.__name__ == name and str(base.__module__).startswith(home) for base in bases)


def is_frame(value: Any) -> bool:
    """Tell whether a value is a pandas table or column."""
    from_pandas = type(value).__module__.partition(".")[0] == "pandas"
    return from_pandas and asked(lambda: callable(value.memory_usage), False)


def size_bytes(value: Any) -> int | None:
    """Return the memory that a value's data takes; None where only a walk through it would tell."""
    size = asked(lambda: _size(value), None)
    return size if type(size) is int and size >= 0 else None


def _size(value: Any) -> int | None:
    if isinstance(value, (str, bytes, bytearray)):
        return len(value)
    if is_frame(value):
        return _table_bytes(value)
    if is_module(value):
        return sum(_tensor_bytes(part) for part in _parts(value))
    if is_tensor(value):
        return _tensor_bytes(value)
    return int(value.nbytes) if not isinstance(value, type) and _is_count(value.nbytes) else None


def _table_bytes(table: Any) -> int:
    usage = table.memory_usage()
    return int(usage if _is_count(usage) else usage.sum())


def _tensor_bytes(tensor: Any) -> int:
    return int(tensor.element_size()) * int(tensor.nelement())


def _parts(module: Any) -> Iterable[Any]:
    return itertools.chain(module.parameters(), module.buffers())


def _is_count(value: object) -> bool:
    return hasattr(type(value), "__index__")


def _shape(value: Any) -> tuple[int, ...] | None:
    return None if issubclass(type(value), type) else asked(lambda: _counts(value.shape), None)


def _counts(shape: object) -> tuple[int, ...] | None:
    if not isinstance(shape, tuple) or not all(_is_count(n) and int(n) >= 0 for n in shape):
        return None
    return tuple(int(n) for n in shape)


def _dtype(value: Any) -> str:
    if is_module(value):
        return asked(lambda: str(next(iter(value.parameters())).dtype), "")
    return "" if _shape(value) is None else asked(lambda: str(value.dtype)[:40], "")


def device(value: Any) -> str:
    """Return the device that a tensor or a module lives on, as torch names it; empty for all else."""
    if is_module(value):
        return asked(lambda: str(next(iter(_parts(value))).device), "")
    return asked(lambda: str(value.device), "") if is_tensor(value) else ""


def preview(value: Any) -> str:
    """Return one short line that shows a value."""
    text = asked(lambda: _preview(value), "")
    line = " ".join(text[: 4 * PREVIEW_CHARACTERS].split())
    line = clean(line)
    return line if len(line) <= PREVIEW_CHARACTERS else line[: PREVIEW_CHARACTERS - 1] + "…"


def _preview(value: Any) -> str:
    if type(value) in _BUILTIN:
        return _SHORT.repr(value)
    if isinstance(value, _CODE):
        return getattr(value, "__name__", "")
    if is_module(value):
        return f"{sum(int(part.nelement()) for part in value.parameters()):,} parameters"
    if is_frame(value):
        columns = getattr(value, "columns", None)
        start = value.iloc[:FIRST_ITEMS] if columns is None else columns[:FIRST_ITEMS]
        return _first(start)
    if _shape(value) is not None and hasattr(value, "reshape"):
        return _first(value.reshape(-1)[:FIRST_ITEMS])
    has_own = type(value).__repr__ is not object.__repr__
    return str(repr(value)) if has_own else ""


def _first(items: Any) -> str:
    shown = items.tolist()
    more = ", …" if len(shown) == FIRST_ITEMS else ""
    return ", ".join(f"{item:.4g}" if isinstance(item, float) else str(item)[:20] for item in shown) + more
