"""What JSON does not know -> what it does, for displays and for messages of widgets: bytes, dates, numbers of numpy."""

from __future__ import annotations

from base64 import b64encode
from datetime import date
from numbers import Integral, Real
from typing import Any


def plain(value: Any) -> Any:
    """Turn a value into one that JSON knows; for `json.dumps(default=...)`.

    Raises:
        TypeError: It is of no such kind.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        return b64encode(value).decode()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, (set, frozenset)) or hasattr(value, "__next__"):
        return list(value)
    raise TypeError(f"a display holds a {type(value).__name__}, which is neither JSON nor bytes")
