"""How data is made from what a stream tells: the only functions that a reader of data calls.

    ("datetime", "date") -> Named -> REDUCE: make(arguments) -> the date
    ("numpy", "dtype")   -> Named -> REDUCE: a Layout -> BUILD: what it is -> given to arrays as it is

Each checks what it is given: whoever wrote the stream may have meant harm. What a name stands for here is our own
function, never what the name means to Python.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import math
import pathlib
import re
import sys
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from remote_runtime.wire.data import DIGITS

Make = Callable[..., object]


class Refused(Exception):
    """A stream asks for what is no data, or for more than it may cost."""


class Named:
    """What stands for a name of the stream; it has no attributes, and nothing can be done with it but to make.

    Args:
        title: The name.
        make: Makes a value of the arguments.
    """

    __slots__ = ("make", "title")

    def __init__(self, title: str, make: Make) -> None:
        self.title, self.make = title, make


class Half:
    """A value that is told in two steps.

    Args:
        finish: Makes the value of what the second step tells.

    Attributes:
        place: Where it stands in the reader's memo; None where it does not.
    """

    __slots__ = ("finish", "place")

    def __init__(self, finish: Make) -> None:
        self.finish = finish
        self.place: int | None = None


def _need(holds: bool, what: str) -> None:
    if not holds:
        raise Refused(f"{what} with arguments that do not fit")


def _typed(what: str, args: tuple[Any, ...], *kinds: type) -> None:
    _need(len(args) == len(kinds) and all(type(a) is k for a, k in zip(args, kinds, strict=True)), what)


# ---- of the standard library -----------------------------------------------------------------------------------


def _complex(*args: Any) -> complex:
    _typed("complex", args, float, float)
    return complex(*args)


def _range(*args: Any) -> range:
    _typed("range", args, int, int, int)
    return range(*args)


def _slice(*args: Any) -> slice:
    _need(len(args) == 3 and all(type(part) in (int, type(None)) for part in args), "slice")
    return slice(*args)


def _date(*args: Any) -> datetime.date:
    _typed("date", args, bytes)
    return datetime.date(*args)


def _moment(kind: type) -> Make:
    def make(*args: Any) -> object:
        zone = (datetime.timezone,) if len(args) == 2 else ()
        _typed(kind.__name__, args, bytes, *zone)
        return kind(*args)

    return make


def _timedelta(*args: Any) -> datetime.timedelta:
    _typed("timedelta", args, int, int, int)
    return datetime.timedelta(*args)


def _timezone(*args: Any) -> datetime.timezone:
    _typed("timezone", args, datetime.timedelta, *((str,) if len(args) == 2 else ()))
    return datetime.timezone(*args)


def _decimal(*args: Any) -> decimal.Decimal:
    _typed("Decimal", args, str)
    _need(len(args[0]) <= DIGITS + 32, "Decimal")
    return decimal.Decimal(args[0])


def _fraction(*args: Any) -> fractions.Fraction:
    if len(args) == 1:  # Python 3.11 and before tell it as text, and text may say 1e999999999
        _typed("Fraction", args, str)
        _need(len(args[0]) <= 2 * DIGITS and re.fullmatch(r"-?\d+(/\d+)?", args[0]) is not None, "Fraction")
        return fractions.Fraction(args[0])
    _typed("Fraction", args, int, int)
    _need(all(part.bit_length() <= 3 * DIGITS for part in args) and args[1] > 0, "Fraction")
    return fractions.Fraction(*args)


def _path(kind: type[pathlib.PurePath]) -> Make:
    def make(*parts: Any) -> pathlib.PurePath:
        _need(all(type(part) is str for part in parts), kind.__name__)
        return kind(*parts)

    return make


def _uuid(*args: Any) -> Half:
    _typed("UUID", args)
    return Half(_uuid_of)


def _uuid_of(state: Any) -> uuid.UUID:
    _need(type(state) is dict and type(state.get("int")) is int, "UUID")
    return uuid.UUID(int=state["int"])


# ---- of numpy --------------------------------------------------------------------------------------------------

_CODE = re.compile(r"b1|[iufc]\d{1,2}|[SUV]\d{1,9}|[Mm]8")
_UNIT = re.compile(r"[YMWDhmsunpfa]s?")
MOST_AXES, MOST_FIELDS, MOST_NESTED = 64, 10_000, 16


class Layout:
    """What the elements of an array are: a dtype on its way.

    Args:
        code: As `f8`.

    Attributes:
        dtype: What it is by now.
        fields: How many fields there are in it, at any depth.
        depth: How deep they are nested.
    """

    __slots__ = ("code", "depth", "dtype", "fields")

    def __init__(self, code: str) -> None:
        self.code, self.fields, self.depth = code, 1, 1
        self.dtype = _numpy().dtype(code)

    def build(self, state: Any) -> None:
        """Take the rest: byte order, unit, fields."""
        _need(type(state) is tuple and len(state) in (8, 9), "dtype")
        order, sub, names, fields, size = state[1:6]
        if sub is not None:
            self._repeat(sub)
        elif names is not None:
            self._record(names, fields, size)
        elif self.code in ("M8", "m8") and len(state) == 9:
            self._in_unit(state[8])
        if order in ("<", ">") and self.fields == 1:
            self.dtype = self.dtype.newbyteorder(order)

    def _repeat(self, sub: Any) -> None:
        _typed("dtype", sub, Layout, tuple)
        _checked_shape(sub[1])
        self._hold([sub[0]])
        self.dtype = _numpy().dtype((sub[0].dtype, sub[1]))

    def _record(self, names: Any, fields: Any, size: Any) -> None:
        _need(type(names) is tuple and type(fields) is dict and len(names) == len(fields), "dtype")
        _need(type(size) is int and all(type(name) is str for name in names), "dtype")
        for field in fields.values():
            _typed("dtype", field, Layout, int)
        told = [fields[name] for name in names]
        self._hold([layout for layout, _ in told])
        formats, offsets = [layout.dtype for layout, _ in told], [offset for _, offset in told]
        described = {"names": list(names), "formats": formats, "offsets": offsets, "itemsize": size}
        self.dtype = _numpy().dtype(described)

    def _in_unit(self, rest: Any) -> None:
        _typed("dtype", rest[1], bytes, int, int, int)
        unit, number = rest[1][0].decode("ascii"), rest[1][1]
        if unit == "generic":
            return
        _need(_UNIT.fullmatch(unit) is not None and 0 < number < 2**31, "dtype")
        self.dtype = _numpy().dtype(f"{self.code}[{number}{unit}]")

    def _hold(self, inner: list[Layout]) -> None:
        """Count, because to compare or show a dtype takes as long as there are fields, however often one is shared."""
        self.fields = 1 + sum(layout.fields for layout in inner)
        self.depth = 1 + max((layout.depth for layout in inner), default=0)
        _need(self.fields <= MOST_FIELDS and self.depth <= MOST_NESTED and self not in inner, "dtype")


def _numpy() -> Any:
    import numpy

    return numpy


def _dtype(*args: Any) -> Layout:
    _typed("dtype", args, str, bool, bool)
    _need(_CODE.fullmatch(args[0]) is not None, "dtype")
    return Layout(args[0])


def _checked_shape(shape: Any) -> int:
    _need(type(shape) is tuple and len(shape) <= MOST_AXES, "array")
    _need(all(type(extent) is int and 0 <= extent < 2**62 for extent in shape), "array")
    return math.prod(shape)


def _array(*args: Any) -> Any:
    """Make an array whose memory is a buffer, or lies in the stream."""
    held, layout, shape, order, axes = args if len(args) == 5 else (*args, None)
    _need(type(held) in (bytes, bytearray, memoryview) and order in ("C", "F", "K"), "array")
    found = _over(memoryview(held), layout, shape, "C" if order == "K" else order)
    if axes is None:
        return found
    _need(type(axes) is tuple and sorted(axes) == list(range(len(shape))), "array")
    return found.transpose(axes)


def _over(held: memoryview, layout: Any, shape: Any, order: str) -> Any:
    _need(type(layout) is Layout, "array")
    count, size = _checked_shape(shape), layout.dtype.itemsize
    _need(count * size == held.nbytes and (size > 0 or count <= 1), "array")
    return _numpy().ndarray(shape, layout.dtype, buffer=held, order=order)


def _class_of_arrays(*_: Any) -> object:
    raise Refused("numpy.ndarray")


def _reconstruct(*args: Any) -> Half:
    _need(len(args) == 3 and type(args[0]) is Named and args[0].make is _class_of_arrays, "array")
    return Half(_array_of)


def _array_of(state: Any) -> Any:
    _need(type(state) is tuple and len(state) == 5 and type(state[4]) in (bytes, bytearray), "array")
    _, shape, layout, is_fortran, held = state
    return _over(memoryview(held), layout, shape, "F" if is_fortran is True else "C").copy(order="K")


def _scalar(*args: Any) -> Any:
    _typed("scalar", args, Layout, bytes)
    return _over(memoryview(args[1]), args[0], (), "C").copy()[()]


# ---- the table -------------------------------------------------------------------------------------------------


def _named(module: str, **makers: Make) -> dict[tuple[str, str], Named]:
    return {(module, name): Named(f"{module}.{name}", make) for name, make in makers.items()}


_PATHS: dict[str, Make] = {
    "Path": _path(pathlib.Path),
    "PosixPath": _path(pathlib.Path),
    "WindowsPath": _path(pathlib.Path),
    "PurePosixPath": _path(pathlib.PurePosixPath),
    "PureWindowsPath": _path(pathlib.PureWindowsPath),
}

NAMES: Mapping[tuple[str, str], Named] = {
    **_named("builtins", complex=_complex, range=_range, slice=_slice),
    **_named("datetime", date=_date, timedelta=_timedelta, timezone=_timezone),
    **_named("datetime", datetime=_moment(datetime.datetime), time=_moment(datetime.time)),
    **_named("decimal", Decimal=_decimal),
    **_named("fractions", Fraction=_fraction),
    **_named("uuid", UUID=_uuid),
    **_named("pathlib", **_PATHS),
    **_named("pathlib._local", **_PATHS),
    **_named("numpy", dtype=_dtype, ndarray=_class_of_arrays),
    **_named("numpy._core.numeric", _frombuffer=_array),
    **_named("numpy.core.numeric", _frombuffer=_array),
    **_named("numpy._core.multiarray", _reconstruct=_reconstruct, scalar=_scalar),
    **_named("numpy.core.multiarray", _reconstruct=_reconstruct, scalar=_scalar),
}
"""Module and name, as a stream writes them -> what they stand for here."""

HASHED = frozenset({complex, range, datetime.date, datetime.datetime, datetime.time, datetime.timedelta,
                    datetime.timezone, decimal.Decimal, fractions.Fraction, uuid.UUID, type(pathlib.Path()),
                    pathlib.PurePosixPath, pathlib.PureWindowsPath, type(None), bool, float, type(...)})  # fmt: skip
"""Kinds that may be keys, beside numbers, text, tuples, frozensets and numpy's scalars."""


def is_scalar(value: object) -> bool:
    """Tell whether a value is one of numpy's scalars."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and type(value).__module__ == "numpy" and isinstance(value, numpy.generic)
