"""An exception as data: its class by name, of Python's own alone, and its arguments.

    exception -> told -> (name, arguments) -> bundle -> raised -> an exception that is equal in both
"""

from __future__ import annotations

import builtins
from typing import Any

from remote_runtime.wire.data import why_not

Told = tuple[str, tuple[Any, ...]]

_REFUSED = ("SystemExit", "GeneratorExit")
"""What ends a kernel or a generator is raised as a stand-in."""


def told(error: BaseException | None) -> Told | None:
    """Return an exception as data; None for one of another class, or with other arguments."""
    kind = type(error)
    if error is None or _known(kind.__name__) is not kind or why_not(error.args):
        return None
    return kind.__name__, error.args


def raised(told: object) -> BaseException | None:
    """Rebuild an exception; None where that is not one of Python's, or its arguments do not fit."""
    if type(told) is not tuple or len(told) != 2 or type(told[0]) is not str or type(told[1]) is not tuple:
        return None
    kind = _known(told[0])
    try:
        return kind(*told[1]) if kind is not None else None
    except (TypeError, ValueError):
        return None


def _known(name: str) -> type[BaseException] | None:
    found = vars(builtins).get(name)
    is_one = isinstance(found, type) and issubclass(found, BaseException) and found.__module__ == "builtins"
    return found if is_one and name not in _REFUSED else None
