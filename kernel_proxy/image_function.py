"""A function that runs while an image is built: its bytes, and what it is known by.

    function, arguments -> pickled -> Content + bytes
                        -> code without line numbers, what it mentions, the arguments -> identity

Pickled bytes differ from one kernel to the next though the function is the same, so they do not tell images apart.
"""

from __future__ import annotations

import hashlib
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from kernel_proxy.errors import ImageError
from kernel_proxy.image_steps import Draft, secrets_of
from remote_runtime.wire import digests
from remote_runtime.wire.images import Content, Step

FILE = "function.pickle"


def draft(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], secrets: object, nonce: str
) -> Draft:
    """Return the step that runs a function.

    Raises:
        ImageError: It is none, or it cannot travel.
    """
    from remote_runtime.wire import payload  # pickling is loaded by whoever needs it

    if not callable(function):
        raise ImageError(f"{function!r} is no function", "give a function, and its arguments by `args` and `kwargs`")
    name = getattr(function, "__name__", type(function).__name__)
    try:
        content = payload.frozen((function, tuple(args), dict(kwargs)))
    except Exception as error:  # whatever the user's own values raise when they are pickled
        raise ImageError(f"the function {name} cannot travel to the build: {error}",
                         "give it plain arguments, and let it make the rest") from error  # fmt: skip
    known_by = _identity(function, [*args, dict(kwargs)]) or hashlib.sha256(content).hexdigest()
    values = secrets_of(secrets)
    file = Content(FILE, hashlib.sha256(content).hexdigest(), len(content))
    step = Step("function", (name,), (known_by,), files=(file,), secrets=tuple(sorted(values)), nonce=nonce)
    return Draft(step, content=((file, content),), secrets=values)


def _identity(function: Callable[..., Any], arguments: list[Any]) -> str | None:
    """Return a digest of what a function does; None where that cannot be told."""
    looked = digests.look([function, arguments, _mentioned(function)])
    return looked.digest.hex() if looked is not None else None


def _mentioned(function: object) -> dict[str, Any]:
    """Return the notebook's names that a function comes to, and their values."""
    found: dict[str, Any] = {}
    waiting = [function]
    while waiting:
        current = waiting.pop()
        if not isinstance(current, types.FunctionType) or current.__module__ != "__main__":
            continue
        for name in sorted(set(_names(current.__code__))):
            if name in current.__globals__ and name not in found:
                value = current.__globals__[name]
                found[name] = value.__name__ if isinstance(value, types.ModuleType) else value
                waiting.append(value)
    return found


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            yield from _names(part)
