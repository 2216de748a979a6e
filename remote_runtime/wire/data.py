"""What is data: values that can be rebuilt without running code of their sender's.

    value -> why_not -> "" for data, else what in it is none

A worker asks it before it sends to a kernel that takes data alone, and that kernel asks it of all that arrived. Types
are compared exactly: a subclass is code. Arrays count where their elements are numbers, text or dates.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import pathlib
import sys
import uuid
from collections.abc import Callable, Mapping
from typing import Any

ALL, DATA = "all", "data"
TRUSTS = (ALL, DATA)
"""What a kernel takes from a worker: whatever pickle can rebuild, or data alone."""

WHY = "trust"
"""Why a value stays remote that is no data."""

LEVELS = 500
"""Containers nested deeper are no data."""

DIGITS = 1000
"""A decimal or a fraction of more digits is no data: computing with one may take forever."""


def _always(_: Any) -> bool:
    return True


def _fits(part: int) -> bool:
    return part.bit_length() <= 3 * DIGITS


LEAVES: Mapping[type, Callable[[Any], bool]] = {
    **dict.fromkeys((type(None), bool, int, float, complex, str, bytes, bytearray, range, type(...)), _always),
    slice: lambda value: all(type(part) in (int, type(None)) for part in (value.start, value.stop, value.step)),
    datetime.datetime: lambda value: type(value.tzinfo) in (datetime.timezone, type(None)),
    datetime.time: lambda value: type(value.tzinfo) in (datetime.timezone, type(None)),
    **dict.fromkeys((datetime.date, datetime.timedelta, datetime.timezone, uuid.UUID), _always),
    decimal.Decimal: lambda value: len(value.as_tuple().digits) <= DIGITS,
    fractions.Fraction: lambda value: _fits(value.numerator) and _fits(value.denominator),
    **dict.fromkeys((type(pathlib.Path()), pathlib.PurePosixPath, pathlib.PureWindowsPath), _always),
}
"""Type -> whether a value of it is data."""

_SIMPLE = frozenset(kind for kind, test in LEAVES.items() if test is _always)

PARTS: Mapping[type, Callable[[Any], list[Any]]] = {
    **dict.fromkeys((list, tuple, set, frozenset), list),
    dict: lambda value: [*value.keys(), *value.values()],
}
"""Container -> its parts."""


def why_not(value: object, seen: set[int] | None = None) -> str:
    """Say what in a value is no data; empty when all of it is.

    Args:
        value: Any value.
        seen: Identities of containers that were looked at, which live and do not change meanwhile; grows.
    """
    seen = set() if seen is None else seen
    level: list[Any] = [value]
    for _ in range(LEVELS):
        below: list[Any] = []
        for part in level:
            if type(part) in PARTS:
                if id(part) not in seen:
                    seen.add(id(part))
                    below += PARTS[type(part)](part)
            elif not is_leaf(part):
                return f"a {type(part).__name__}"
        if set(map(type, below)) <= _SIMPLE:
            return ""
        level = below
    return f"nested more than {LEVELS} levels deep"


def is_leaf(value: Any) -> bool:
    """Tell whether a value that is no container is data."""
    kind = type(value)
    if kind in LEAVES:
        return LEAVES[kind](value)
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return False
    is_array = kind is numpy.ndarray or (kind.__module__ == "numpy" and issubclass(kind, numpy.generic))
    return is_array and _is_plain(value.dtype)


def _is_plain(dtype: Any) -> bool:
    """Tell whether an array's elements are numbers, text, dates, bytes, or records of those."""
    if dtype.hasobject or dtype.isbuiltin == 2 or dtype.kind not in "biufcSUVMm" or dtype.metadata:
        return False
    if dtype.subdtype is not None:
        return _is_plain(dtype.base)
    fields = dtype.fields or {}
    return all(len(field) == 2 and _is_plain(field[0]) for field in fields.values())
