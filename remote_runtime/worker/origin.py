"""Which run a piece of code belongs to, wherever and whenever it runs.

    a run begins -> RUN, in the context of its task -> tasks and callbacks inherit it, as contexts do
                                                    -> threads inherit it by `follow_threads`

So what a thread, a timer or a widget's callback shows belongs to the run that started it, also while another one runs.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from contextvars import Context, ContextVar
from typing import Any
from weakref import WeakSet

RUN: ContextVar[str] = ContextVar("warmcell_run", default="")
"""Id of the run that the code belongs to; empty where nobody knows."""

CAPTURE: ContextVar[Any] = ContextVar("warmcell_capture", default=None)
"""The innermost Output widget that takes what the code shows, if any; see captures.py."""

_OWNER = "_warmcell_run"
_SILENT = frozenset({"TMonitor"})
"""Classes of threads that go on for good and print nothing: tqdm's watch over its bars."""


def run_here() -> str:
    """Return the run that the calling code belongs to; empty where nobody knows."""
    # A thread's own context is empty again when its exception is shown.
    return RUN.get() or getattr(threading.current_thread(), _OWNER, "")


def follow_threads() -> None:
    """Let every thread that is started from now on belong to the run that starts it."""
    start = threading.Thread.start

    @functools.wraps(start)
    def start_as_part(self: threading.Thread) -> None:
        run_id = RUN.get()
        if run_id:
            setattr(self, _OWNER, run_id)
            # Context.run leaves no frame in the tracebacks of the thread, as a wrapper of ours would.
            self.run = functools.partial(_context(run_id).run, self.run)  # type: ignore[method-assign]
        start(self)

    threading.Thread.start = start_as_part  # type: ignore[method-assign]


def start_apart(thread: threading.Thread) -> None:
    """Start a thread of our own, which belongs to no run."""
    Context().run(thread.start)


def _context(run_id: str) -> Context:
    context = Context()
    context.run(RUN.set, run_id)
    context.run(CAPTURE.set, CAPTURE.get())
    return context


class Leftovers:
    """What still goes on when a run ends."""

    def __init__(self) -> None:
        self._known: WeakSet[asyncio.Task[Any]] = WeakSet()

    def of(self, run_id: str) -> list[str]:
        """Name the threads and tasks of a run that have not ended. Asked once, at the run's end."""
        threads = [thread.name for thread in threading.enumerate() if _goes_on(thread, run_id)]
        tasks = asyncio.all_tasks() - set(self._known)
        self._known.update(tasks)
        current = asyncio.current_task()
        return threads + [task.get_name() for task in tasks if task is not current]


def _goes_on(thread: threading.Thread, run_id: str) -> bool:
    return getattr(thread, _OWNER, "") == run_id and type(thread).__name__ not in _SILENT
