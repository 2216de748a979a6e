"""Medians of many, and nothing cleverer."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """How long one piece of work took, over many repeats, in milliseconds."""

    count: int
    p50_ms: float
    p95_ms: float
    min_ms: float

    def row(self) -> dict[str, float]:
        """Return the figures for the JSON report."""
        return {"count": self.count, "p50_ms": self.p50_ms, "p95_ms": self.p95_ms, "min_ms": self.min_ms}


def spread(times_s: list[float]) -> Spread:
    """Summarise repeats measured in seconds."""
    ordered = sorted(times_s)
    p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    ms = [round(t * 1e3, 3) for t in (statistics.median(ordered), p95, ordered[0])]
    return Spread(len(ordered), *ms)


def repeat(work: Callable[[], object], count: int, warmup_count: int = 3) -> Spread:
    """Time a piece of work `count` times after a warm-up."""
    for _ in range(warmup_count):
        work()
    return spread([once_s(work) for _ in range(count)])


def once_s(work: Callable[[], object]) -> float:
    """Return the seconds that one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
