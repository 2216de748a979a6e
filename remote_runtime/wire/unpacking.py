"""A bundle back into named values, and in words what kept it from being rebuilt.

    Bundle -> (name, value) one after the other -> {name: value}, or UnpackError

While values are rebuilt, those already there are lent to the receiver's namespace, because code that runs
on arrival (`__setstate__`, `__hash__`) looks its globals up there. At the end the namespace is as it was:
binding is the caller's.
"""

from __future__ import annotations

import io
import pickle
import sys
import types
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from remote_runtime.wire import problems, reducers
from remote_runtime.wire.bundle import SEAL_BYTES, Bundle, seal
from remote_runtime.wire.views import OtherLayout

Resolve = Callable[[Any], object]

_ABSENT = object()
_TORN = (EOFError, pickle.UnpicklingError, UnicodeDecodeError, OverflowError, MemoryError, LookupError)


@dataclass(eq=False)
class UnpackError(Exception):
    """A bundle cannot be rebuilt where it arrived.

    Args:
        reason: `module`, `attribute`, `version`, `torn`, `parted` or `raised`.
        message: What happened, in one sentence.
        hint: What to do.
        name: The variable that was being rebuilt; empty when none had begun.
        module: The module that is missing or lacks something; empty otherwise.
    """

    reason: str
    message: str
    hint: str
    name: str = ""
    module: str = ""

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}"


class Landing(Protocol):
    """What the receiver holds; `mirror.Arrival` is one."""

    def object(self, number: int) -> object | None:
        """Return the object of a number; None when it is gone."""

    def content(self, name: str, number: int, content: Any) -> None:
        """Take what changed in an object."""

    def land(self, values: Mapping[str, object], memo: Mapping[int, object], tail: Any) -> None:
        """Take the rest, when all has been read: values, what was met by its place, and `Shared.tail`."""


def unpack(
    bundle: Bundle, namespace: dict[str, Any], *, resolve: Resolve | None = None, landing: Landing | None = None
) -> dict[str, object]:
    """Rebuild the values of a bundle.

    Args:
        bundle: As `pack` made it; its buffers become the memory of the values.
        namespace: What functions bind to. It is not changed.
        resolve: Gives the object behind a token of `pack`'s `reference`.
        landing: What both ends hold; without it a bundle that refers to such objects cannot be read.

    Returns:
        Name to value, in the order of the bundle.

    Raises:
        UnpackError: Something is missing, of another version, cut, or raised while it was rebuilt.
    """
    reader = _Reader(bundle, namespace, resolve, landing)
    values: dict[str, object] = {}
    loan = _Loan(namespace)
    try:
        for name, value in reader.pairs():
            values[name] = value
            loan.lend(name, value)
        reader.finish(values)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  # rebuilding runs the user's code, which may raise anything
        raise diagnose(error, reader.name, reader.is_sealed) from error
    finally:
        loan.end()
    return values


class _Loan:
    """Names put into a namespace for a while."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace = namespace
        self._before: dict[str, tuple[object, object]] = {}

    def lend(self, name: str, value: object) -> None:
        self._before[name] = (self._namespace.get(name, _ABSENT), value)
        self._namespace[name] = value

    def end(self) -> None:
        for name, (before, lent) in self._before.items():
            if self._namespace.get(name, _ABSENT) is not lent:
                continue  # another thread of the user's has bound it meanwhile
            if before is _ABSENT:
                del self._namespace[name]
            else:
                self._namespace[name] = before


class _Reader(pickle.Unpickler):
    """Reads a bundle's stream; what only the receiver can say is its own."""

    def __init__(
        self, bundle: Bundle, namespace: dict[str, Any], resolve: Resolve | None, landing: Landing | None
    ) -> None:
        self._stream = memoryview(bundle.pickle)
        self._buffers = iter(bundle.buffers)
        super().__init__(io.BytesIO(bundle.pickle), buffers=self._buffers)
        self.name, self.is_sealed = "", False
        self._namespace, self._landing = namespace, landing
        self._stand_ins: list[weakref.ref[_StandIn]] = []
        here = reducers.__name__
        self._here: dict[tuple[str, str], object] = {
            (here, "module_here"): partial(_module_of, namespace),  # a method would make a cycle
            (here, "resolve_here"): resolve or reducers.resolve_here,
        }

    def pairs(self) -> Iterator[tuple[str, object]]:
        """Yield names and values.

        Raises:
            UnpicklingError: The stream is damaged, or it and the buffers do not end together.
        """
        if seal(self._stream[:-SEAL_BYTES]) != self._stream[-SEAL_BYTES:]:
            raise pickle.UnpicklingError("the check sum differs")
        self.is_sealed = True
        self.load()
        while (told := self.load()) is not None:
            self.name = told[0]
            if self._landing is not None:
                self._landing.content(*told)
        while (name := self.load()) is not None:
            self.name = name
            yield name, self.load()
        self._tail = self.load()
        if next(self._buffers, None) is not None:
            raise pickle.UnpicklingError("a buffer is left over")

    def persistent_load(self, number: int) -> object:
        """Give the receiver's namespace, or the object that it holds under a number.

        Raises:
            Parted: It does not hold it.
        """
        if not number:
            return self._namespace
        if self._landing is None:  # most of what a bundle may refer to it does not; `finish` looks whether it did
            stand_in = _StandIn()
            self._stand_ins.append(weakref.ref(stand_in))
            return stand_in
        found = self._landing.object(number)
        if found is None:
            raise Parted(_NOT_HELD)
        return found

    def finish(self, values: dict[str, object]) -> None:
        """Hand over what the receiver must know of the bundle."""
        if self._stand_ins:
            self.memo.clear()
            if any(stand_in() is not None for stand_in in self._stand_ins):
                raise Parted(_NOT_HELD)
        if self._landing is not None and self._tail is not None:
            self._landing.land(values, self.memo.copy() if self._tail[0] else {}, self._tail)

    def find_class(self, module: str, name: str) -> Any:
        """Import a global, or give the receiver's own."""
        if (module, name) in self._here:
            return self._here[module, name]
        try:
            return super().find_class(module, name)
        except AttributeError as error:
            raise _Missing(module, name) from error


def _module_of(namespace: dict[str, Any]) -> types.ModuleType:
    own = sys.modules.get(str(namespace.get("__name__")))
    return own if own is not None and vars(own) is namespace else sys.modules["__main__"]


class _StandIn:
    """Stands for an object that both ends of another exchange held."""


_NOT_HELD = "the bundle refers to an object that is not held here"


class Parted(Exception):
    """The two ends do not hold the same objects any more."""


class _Missing(AttributeError):
    """A module is there and lacks a name."""

    def __init__(self, module: str, attribute: str) -> None:
        super().__init__(f"module `{module}` has no `{attribute}`")
        self.module, self.attribute = module, attribute


def diagnose(error: BaseException, name: str, is_sealed: bool = False) -> UnpackError:
    """Say why a value could not be rebuilt.

    Args:
        error: What unpickling raised.
        name: The variable that was being rebuilt; empty when none had begun.
        is_sealed: Whether the stream came as it was written: what is wrong then is what a class wrote.
    """
    subject = f"`{name}` cannot be rebuilt where it arrived" if name else "the values cannot be read"
    text = problems.text_of(error)
    if isinstance(error, (Parted, OtherLayout)):
        return UnpackError("parted", f"kernel and session no longer hold the same: {text}", "run the cell again", name)
    if isinstance(error, reducers.VersionSkew):
        return UnpackError(
            "version", f"{subject}: {error}", "use one minor version of Python on both sides", name
        )
    if isinstance(error, ImportError):
        module = error.name or ""
        what = f"module `{module}` is not installed there" if isinstance(error, ModuleNotFoundError) else text
        return UnpackError("module", f"{subject}: {what}", f"install `{module or 'it'}` there", name, module)
    if isinstance(error, _Missing):
        return UnpackError("attribute", f"{subject}: {error}", _attribute_hint(error), name, error.module)
    if _is_importing(error):
        what = f"{subject}: a module that it needs fails on import: {text}"
        return UnpackError("module", what, "mend the module", name)
    where = _where(error)
    if isinstance(error, _TORN) and not where and (not is_sealed or not name or "buffer" in text):
        return UnpackError("torn", f"the bundle is cut or damaged ({text})", "run the cell again", name)
    hint = "mend the class's `__setstate__` or `__reduce__`, or build it inside the cell"
    return UnpackError("raised", f"{subject}: {text}{where}", hint, name)


def _attribute_hint(missing: _Missing) -> str:
    if missing.module == "__main__":
        return f"define `{missing.attribute}` at the top level of a cell"
    return f"use the same version of `{missing.module.partition('.')[0]}` on both sides"


def _is_importing(error: BaseException) -> bool:
    """Tell whether a module's own code raised, or does not compile."""
    frame = error.__traceback__
    while frame is not None and not frame.tb_frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.tb_next
    return frame is not None


def _where(error: BaseException) -> str:
    """Name the function of the user's that raised; empty when the unpickler itself did."""
    frame = error.__traceback__
    last = None
    while frame is not None:
        last, frame = frame.tb_frame.f_code, frame.tb_next
    own = last is None or last.co_filename in (__file__, reducers.__file__)
    return "" if own else f", in `{getattr(last, 'co_qualname', last.co_name)}`"
