"""Handles: local names for values that stay remote.

    run ends -> what is too large to come back -> Handle -> bound to its name here
    next cell -> a handle travels as its token -> the same remote object; `.get()` -> a copy here

A handle costs nothing to pass around. Whatever needs the value itself is an error that says how to get it,
so that no code computes with a handle by mistake.
"""

from __future__ import annotations

import html
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from kernel_proxy.errors import HandleAttributeError, HandleError


@dataclass(frozen=True)
class ValueInfo:
    """What is known here about a remote value.

    Args:
        type_name: Its class, as `Llama`.
        size_bytes: Its memory; None when unknown.
        shape: Of an array, tensor or frame; None for others.
        dtype: Of an array or tensor; None for others.
        device: Where its memory is, as `cuda:0`; None for others.
        preview: The first lines of its repr, made remotely.
    """

    type_name: str
    size_bytes: int | None
    shape: tuple[int, ...] | None
    dtype: str | None
    device: str | None
    preview: str


@dataclass(frozen=True, eq=False, repr=False)
class Handle:
    """A value that stays remote, under its local name.

    Args:
        token: Names the value to its session.
        name: The variable it was bound to.
        info: What is known about it.
        fetch: Copies the value here: token, longest wait in seconds, whether it may be anything.
        session_id: The session that holds it.
        where: The device, as `A100`.
        on_drop: Called with the token when the last reference here is gone.
    """

    token: str
    name: str
    info: ValueInfo
    fetch: Callable[[str, float | None, bool], object]
    session_id: str
    where: str
    on_drop: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        if self.on_drop is not None:
            weakref.finalize(
                self, self.on_drop, self.token
            ).atexit = False  # a session ends with its process anyway

    def get(self, timeout_s: float | None = None, trust: bool = False) -> Any:
        """Copy the value here; a value on a GPU arrives on the CPU.

        Args:
            timeout_s: Longest wait in seconds; None waits as long as it takes.
            trust: Whether to rebuild it whatever it is, where data alone is taken otherwise: that may run what the
                worker says.

        Raises:
            WarmcellError: The session is gone, or the value cannot travel.
        """
        return self.fetch(self.token, timeout_s, trust)

    def __repr__(self) -> str:
        return f"<gpu var {self.name}: {', '.join((self.info.type_name, *_facts(self.info), self.where))}>"

    def _repr_html_(self) -> str:
        head = html.escape(repr(self))
        hint = f"stays remote; <code>{html.escape(self.name)}.get()</code> copies it here"
        preview = f"<pre>{html.escape(self.info.preview)}</pre>" if self.info.preview else ""
        return f"<div><b>{head}</b><br>{hint}{preview}</div>"

    def __getattr__(self, attribute: str) -> NoReturn:
        raise HandleAttributeError(*_texts(self, f"its attribute `{attribute}` is not here"))

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        what = "it cannot be copied or pickled here, nor used in another session"
        raise HandleError(*_texts(self, what))

    def __array__(self, *args: object, **kwargs: object) -> NoReturn:
        raise HandleError(*_texts(self, "no array can be made of it here"))


def _facts(info: ValueInfo) -> list[str]:
    shape = f"{info.shape}" if info.shape is not None else ""
    layout = " ".join(part for part in (shape, info.dtype or "") if part)
    return [part for part in (layout, size_text(info.size_bytes)) if part]


def size_text(size_bytes: int | None) -> str:
    """Return a size for reading, in decimal units; a dash when it is unknown."""
    if size_bytes is None:
        return "-"
    size, units = float(size_bytes), ["B", "kB", "MB", "GB", "TB"]
    while size >= 999.5 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.0f} {units[0]}" if units[0] == "B" or size >= 100 else f"{size:.1f} {units[0]}"


def _texts(handle: Handle, what: str) -> tuple[str, str]:
    name = handle.name
    message = f"`{name}` is a {handle.info.type_name} that stays on {handle.where}: {what}"
    return message, f"`{name}.get()` copies it here, or use `{name}` in a %%gpu cell"


_LOCAL_USES = """
    add sub mul matmul truediv floordiv mod divmod pow lshift rshift and or xor
    radd rsub rmul rmatmul rtruediv rfloordiv rmod rdivmod rpow rlshift rrshift rand ror rxor
    neg pos abs invert lt le gt ge bool int float complex index round trunc floor ceil
    len iter next reversed contains getitem setitem delitem call enter exit aenter aexit await aiter anext
""".split()  # noqa: SIM905  # as a list of strings it fills a page


def _refusal(use: str) -> Callable[..., NoReturn]:
    def refuse(self: Handle, *args: object, **kwargs: object) -> NoReturn:
        raise HandleError(*_texts(self, f"`{use}` has no value to work on here"))

    refuse.__name__ = use
    return refuse


for _use in _LOCAL_USES:
    setattr(Handle, f"__{_use}__", _refusal(f"__{_use}__"))
