"""How long a wait may last, where that can be said honestly, and what it rests on. Pure but for `History`.

    holders -> Left of each: its countdown, its run's --timeout, or what leases like it lasted
    place n of those who want one device -> the n-th to be over
"""

from __future__ import annotations

import statistics
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

LEAST_SAMPLES = 3
MOST_SAMPLES = 50


@dataclass(frozen=True, order=True)
class Left:
    """How long something may still last.

    Args:
        seconds: From now on.
        rests_on: In words.
    """

    seconds: float
    rests_on: str


class History:
    """How long past leases lasted, by session and by target."""

    def __init__(self) -> None:
        self._lengths: dict[tuple[str, str], deque[float]] = defaultdict(lambda: deque(maxlen=MOST_SAMPLES))

    def add(self, session: str, target: str, held_s: float | None) -> None:
        """Take a lease in that is over; one whose end nobody saw teaches nothing."""
        if held_s is not None:
            self._lengths["session", session].append(held_s)
            self._lengths["target", target].append(held_s)

    def left(self, session: str, target: str, held_s: float) -> Left | None:
        """Return how long a lease may last that has lasted so long already; None where the past does not tell."""
        for key, words in ((("session", session), f"session {session}"), (("target", target), target)):
            lengths = self._lengths.get(key, ())
            if len(lengths) >= LEAST_SAMPLES:
                seconds = statistics.median(lengths) - held_s
                return Left(seconds, f"the median of {len(lengths)} past leases of {words}") if seconds > 0 else None
        return None


def left_of(session: str, countdown_s: float | None, run_left_s: float | None, release_s: float) -> Left | None:
    """Return how long a session may hold its devices, by what is announced of it.

    Args:
        session: Its name.
        countdown_s: Until it is released; None while nobody counts.
        run_left_s: Until the --timeout of its only run; None without.
        release_s: How long it is counted down once it is idle.
    """
    if countdown_s is not None:
        return Left(countdown_s, f"the countdown of session {session}")
    if run_left_s is not None:
        return Left(run_left_s + release_s, f"the --timeout of the run in session {session}, and its countdown")
    return None


def estimate(ahead_count: int, holders: Sequence[Left | None]) -> Left | None:
    """Return how long somebody may wait for one device.

    Args:
        ahead_count: How many come first.
        holders: Of each device that would do; None where nothing is known of it.
    """
    known = sorted(left for left in holders if left is not None)
    return known[ahead_count] if ahead_count < len(known) else None
