"""What is waited for, in one line: pb.Waiting -> place in the queue, holder, and when it may be over."""

from __future__ import annotations

import time
from collections.abc import Callable

from remote_runtime.wire import messages_pb2 as pb

_HALF_A_DAY_S = 12 * 3600.0


def waiting_text(waiting: pb.Waiting, clock: Callable[[], float] = time.time) -> str:
    """Write what is waited for, with the place in the queue, and when it may be over and what says so.

    Args:
        waiting: As the gateway tells it.
        clock: Seconds since the epoch: a time of day stays right while the line stands.
    """
    place = f"place {waiting.place} in the queue" if waiting.place else ""
    holder = f"held by {waiting.holder}" if waiting.holder and waiting.holder not in waiting.reason else ""
    over = ""
    if waiting.HasField("estimate_s"):
        over = f"free about {_time_of_day(clock(), waiting.estimate_s)} ({waiting.rests_on})"
    elif waiting.place:
        over = "free at -"
    return ", ".join(part for part in (waiting.reason or "waiting", holder, place, over) if part)


def _time_of_day(now: float, later_s: float) -> str:
    return time.strftime("%H:%M:%S" if later_s < _HALF_A_DAY_S else "%a %H:%M", time.localtime(now + later_s))
