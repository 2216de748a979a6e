"""What is not sent unless it is asked for: secrets by name, large values by size, and what is IPython's own.

    name, value -> words of the name, a cheap estimate of the size -> pass, or the error to raise

Nothing here pickles, imports a library, or calls a method of the user's own classes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from kernel_proxy.errors import CaptureError, SecretGate, SizeGate
from kernel_proxy.handles import size_text
from remote_runtime.wire import limits

SECRET_WORDS = frozenset({"key", "token", "secret", "password"})

ITEMS = 1000
"""Items of one container that an estimate looks at."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_HISTORY = re.compile(r"_{1,3}|_i{1,3}|_\d+|_i\d+|_[iods]h|__\w+__")
_SAME_AS = {"In": "_ih", "Out": "_oh"}


@dataclass(frozen=True)
class Gates:
    """The limits for what is captured by itself.

    Args:
        size_gate_bytes: A larger value stops the cell until it is named by `-i`.
        secrets: Whether strings named like a secret do, too.
    """

    size_gate_bytes: int = limits.SIZE_GATE_BYTES
    secrets: bool = True

    def stopped(self, name: str, value: object) -> CaptureError | None:
        """Return why a value may not be captured by itself, before it is pickled; None when it may."""
        if self.secrets and issubclass(type(value), str) and words(name) & SECRET_WORDS:
            return SecretGate(
                f"`{name}` is a string named like a secret, and is not sent by itself",
                f"pass `-i {name}` to send it",
            )
        return self.too_large(name, estimate_bytes(value) or 0)

    def too_large(self, name: str, size_bytes: int) -> SizeGate | None:
        """Return why a value of this size may not be captured by itself; None when it may."""
        if size_bytes <= self.size_gate_bytes:
            return None
        limit = size_text(self.size_gate_bytes)
        return SizeGate(
            f"`{name}` is {size_text(size_bytes)}, and more than {limit} is not sent by itself",
            f"pass `-i {name}` to send it, or load it inside the cell",
        )


def words(name: str) -> set[str]:
    """Return the words of a name in lower case, parted at underscores, digits and capitals."""
    return {word.lower() for word in _WORD.findall(name)}


def is_shells(name: str, namespace: Mapping[str, Any]) -> bool:
    """Tell whether a name of the namespace is IPython's or Python's own; the worker's shell has its own."""
    if name in ("exit", "quit", "open"):
        return _home(namespace[name]) in ("IPython", "ipykernel")
    if name in _SAME_AS:
        return namespace[name] is namespace.get(_SAME_AS[name])
    return name == "get_ipython" or _HISTORY.fullmatch(name) is not None


def _home(value: object) -> str:
    """Return the package in which a function or a value's class was written."""
    home = getattr(value, "__globals__", None) or {"__name__": type(value).__module__}
    return str(home.get("__name__")).partition(".")[0]


_BY_PACKAGE: Mapping[str, Callable[[Any], Any]] = {
    "numpy": lambda value: value.nbytes,
    "cupy": lambda value: value.nbytes,
    "torch": lambda value: value.nbytes,
    "pyarrow": lambda value: value.nbytes,
    "polars": lambda value: value.estimated_size(),
    "pandas": lambda value: value.memory_usage(deep=False),
}
"""Package of a value's class -> its size in bytes, or sizes that add up to it."""


def estimate_bytes(value: object, depth: int = 2) -> int | None:
    """Return about how much a value holds, without copying it; None where that cannot be told cheaply.

    Args:
        value: Any value.
        depth: How many levels of containers to look into.
    """
    kind = type(value)
    if kind in (bytes, bytearray, str):
        return len(value)  # type: ignore[arg-type]
    if kind in (list, tuple, set, frozenset, dict):
        return _sum(value.values() if isinstance(value, dict) else value, depth)  # type: ignore[arg-type]
    measure = _BY_PACKAGE.get(kind.__module__.partition(".")[0])
    if measure is None:
        return None
    try:
        size = measure(value)
        return int(size.sum()) if hasattr(size, "sum") else int(size)
    except (AttributeError, TypeError, ValueError):  # another class of the package; most of them have no size
        return None


def _sum(items: Any, depth: int) -> int | None:
    if depth == 0:
        return None
    sizes = [estimate_bytes(item, depth - 1) for item in islice(items, ITEMS)]
    known = [size for size in sizes if size is not None]
    return sum(known) if known else None
