"""Facts as a person reads them in a terminal: aligned columns, sizes, durations; what is not known is a dash.

pb message -> plain -> JSON values        rows -> table -> text
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf.message import Message

DASH = "-"
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Draw rows under a head; None is a dash."""
    lines = [tuple(head), *(tuple(DASH if c is None or c == "" else str(c) for c in row) for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def size(size_bytes: int | None) -> str | None:
    """Write a size in bytes in the largest unit that keeps it above 1."""
    if size_bytes is None:
        return None
    value, unit = float(size_bytes), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.{0 if unit == 0 else 1}f} {_UNITS[unit]}"


def duration(duration_s: float | None) -> str | None:
    """Write a duration in seconds in at most two units."""
    if duration_s is None:
        return None
    if duration_s < 60:
        return f"{duration_s:.1f} s"
    minutes, seconds = divmod(int(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def when(at: float) -> str:
    """Write a time, given in seconds since the epoch, by this machine's clock."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def price(per_hour: float | None) -> str | None:
    """Write a price per hour."""
    return None if per_hour is None else f"{per_hour:.2f}/h"


def plain(message: Message) -> dict[str, Any]:
    """Return a message as JSON values under its own field names; the absent is None, bytes are counted."""
    return {field.name: _value(message, field) for field in message.DESCRIPTOR.fields}


def _value(message: Message, field: Any) -> Any:
    value = getattr(message, field.name)
    if field.has_presence and not message.HasField(field.name):
        return None
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return dict(value)
    if isinstance(value, bytes):
        return f"{len(value)} bytes"  # pickles mean nothing to a reader of JSON
    if field.message_type is None:
        return list(value) if field.is_repeated else value
    return [plain(item) for item in value] if field.is_repeated else plain(value)
