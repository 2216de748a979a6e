"""Waiting in the main thread so that Ctrl-C gets through, on every system.

    event, future, queue --slices of a wait--> what it waited for

Windows calls no signal handler while a thread waits for a lock, however long that takes. There a wait is cut into
slices, and the handler runs between two of them; elsewhere it is one wait.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")

SLICE_S: float | None = 0.05 if sys.platform == "win32" else None
"""Longest wait in one piece; None where a signal ends any wait."""


def is_set(event: threading.Event, timeout_s: float | None = None) -> bool:
    """Wait for an event; return whether it was set in time.

    Args:
        event: Set by another thread.
        timeout_s: Longest wait; None waits for ever.
    """
    return any(event.wait(slice_s) for slice_s in _slices(timeout_s))


def result_of(future: futures.Future[T], timeout_s: float | None = None) -> T:
    """Wait for a future's result.

    Args:
        future: Settled by another thread.
        timeout_s: Longest wait; None waits for ever.

    Raises:
        concurrent.futures.TimeoutError: It was not settled in time.
        BaseException: What it was settled with.
    """
    if SLICE_S is not None:
        any(futures.wait((future,), slice_s).done for slice_s in _slices(timeout_s))
        timeout_s = 0
    return future.result(timeout_s)


def take(queue: SimpleQueue[T]) -> T:
    """Wait for the next item of a queue."""
    for slice_s in _slices(None):
        try:
            return queue.get(timeout=slice_s)
        except Empty:
            continue
    raise AssertionError("a wait without an end has ended")


def _slices(timeout_s: float | None) -> Iterator[float | None]:
    if SLICE_S is None:
        yield timeout_s
        return
    deadline = float("inf") if timeout_s is None else time.monotonic() + timeout_s
    while (left_s := deadline - time.monotonic()) > 0:
        yield min(SLICE_S, left_s)
