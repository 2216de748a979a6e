"""Why a value of the notebook cannot travel, and what may surprise when one does, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kernel_proxy.errors import CaptureError, HandleError
from kernel_proxy.gates import estimate_bytes
from kernel_proxy.handles import size_text
from remote_runtime.wire.payload import PackError

_ITERATORS = (
    "list_iterator",
    "tuple_iterator",
    "zip",
    "map",
    "filter",
    "enumerate",
    "reversed",
    "range_iterator",
)


def capture_error(error: PackError, why: str) -> CaptureError:
    """Return the error for a value that cannot travel.

    Args:
        error: What the payload said.
        why: Why the value was to travel.
    """
    if isinstance(error.cause, HandleError):
        return foreign(error.name, error.path)
    user = why.removeprefix("used by ")
    used = f"; `{user}` uses it" if user != why else ""
    return CaptureError(error.message + used, error.hint)


def foreign(name: str, path: str) -> CaptureError:
    """Return the error for a handle of another session, at a path inside a variable."""
    what = "it" if name == path else f"`{path}`"
    return CaptureError(
        f"`{name}` cannot travel: {what} is a handle of another session",
        f"copy the value here first: `{path} = {path}.get()`",
    )


def undefined(source: str) -> CaptureError:
    """Return the error for an `-i` of nothing."""
    return CaptureError(
        f"`-i` names `{source}`, which is not defined in the notebook",
        f"run the cell that creates `{source}`, or leave it out of `-i`",
    )


def notices(values: Mapping[str, object]) -> Iterator[str]:
    """Yield what the user may not expect of values that travel, in sentences."""
    for name, value in values.items():
        kind = type(value)
        if kind.__module__ == "builtins" and kind.__name__ in _ITERATORS:
            yield f"`{name}` is an iterator: its copy advances there, this one does not"
        elif kind.__name__ == "memmap" and kind.__module__.startswith("numpy"):
            yield f"`{name}` is memory-mapped: all of it travels, {size_text(estimate_bytes(value))}"
