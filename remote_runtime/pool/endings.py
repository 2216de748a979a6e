"""How a worker ended, in words."""

from __future__ import annotations

import signal

from remote_runtime.engines.base import Exit


def describe(how: Exit) -> str:
    """Tell in words how a worker ended."""
    if how.detail:
        return how.detail
    if how.signal is not None:
        return f"killed by {signal_name(how.signal)}"
    if how.reason == "unknown" and how.code is None:
        return "nobody saw how"
    return how.reason if how.code in (None, 0) else f"{how.reason}, exit code {how.code}"


def signal_name(number: int) -> str:
    """Return a signal's name, or "signal 64" where it has none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
