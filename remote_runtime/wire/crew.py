"""Work over much memory, done by a few threads at once.

    size   -> parts -> where each begins and ends, the same on every machine
    number -> share -> work(0), work(1), ... each once, by the caller and by helpers

Helpers are threads that wait for work from its first use on; a forked child has none and makes its own. They help
where the work lets go of the interpreter's lock, as copying and hashing do. None holds anything of what it has done.
"""

from __future__ import annotations

import _thread
import ctypes
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from queue import Empty, SimpleQueue

from remote_runtime.wire import limits

SPLIT_BYTES = 8 * limits.MIB
"""Less memory than this is one part: waking a thread takes as long as hashing some of it."""

PARTS_COUNT = 8
"""Parts of what is split: few, as each waits for the interpreter's lock, and enough for threads of unequal speed."""

PART_BYTES = 64 * limits.MIB
"""Longest part: Ctrl-C comes through between two of them."""

THREADS_COUNT = 4
"""Most threads at one piece of work, the caller's among them: so few use up what memory can give."""

_ALIGN_BYTES = 4096
_LOOK_S = 0.05


def parts(size_bytes: int) -> list[tuple[int, int]]:
    """Return where the parts of some memory begin and end; digests depend on it.

    Args:
        size_bytes: All of it.
    """
    if size_bytes < SPLIT_BYTES:
        return [(0, size_bytes)]
    length = min(-(-size_bytes // PARTS_COUNT), PART_BYTES)
    length = -(-length // _ALIGN_BYTES) * _ALIGN_BYTES
    return [(begin, min(begin + length, size_bytes)) for begin in range(0, size_bytes, length)]


def share(work: Callable[[int], object], count: int) -> None:
    """Do numbered pieces of work, each once, in any order. When this returns or raises, nobody is at any of them.

    Args:
        work: Takes the number of a piece.
        count: How many there are.

    Raises:
        BaseException: What a piece raised, or a signal handler meanwhile; pieces that had not begun are left undone.
    """
    crew, cpus = _Crew(work, count), _other_cpus()
    for helper in _helpers(min(count - 1, THREADS_COUNT - 1, len(cpus))):
        helper.ask(crew, cpus)
    crew.do()


class _Crew:
    """Those who do one piece of work.

    Args:
        work: As `share` takes it.
        count: As `share` takes it.
    """

    def __init__(self, work: Callable[[int], object], count: int) -> None:
        self._work = work
        self._left = deque(range(count))
        self._busy: list[None] = []
        self._bell = SimpleQueue[None]()
        self._errors: list[BaseException] = []

    def do(self) -> None:
        """Do it, with whoever helps."""
        is_over = False
        while not is_over:  # once more after an error: helpers are at memory that is given back after this
            try:
                self._take()
                self._await_helpers()
                is_over = True
            except BaseException as error:  # noqa: BLE001  a press of Ctrl-C, too, is raised when nobody is busy
                self._left.clear()
                self._errors.append(error)
        if self._errors:
            raise self._errors[0]

    def help(self) -> None:
        """Help the caller of `do`."""
        # A piece is taken after this, so whoever finds none left and nobody busy knows that all is done.
        self._busy.append(None)
        try:
            self._take()
        except BaseException as error:  # noqa: BLE001  it is the caller's, who waits
            self._left.clear()
            self._errors.append(error)
        finally:
            self._busy.pop()
            self._bell.put(None)

    def _take(self) -> None:
        while (number := self._next()) is not None:
            self._work(number)

    def _next(self) -> int | None:
        try:
            return self._left.pop()  # the last first: what was written a moment ago lies in the cache
        except IndexError:
            return None

    def _await_helpers(self) -> None:
        while self._busy:
            with suppress(Empty):
                self._bell.get(timeout=_LOOK_S)


class _Helper:
    """A thread that helps. Not one of `threading`'s: nobody's list of threads has it, no run owns what it does."""

    def __init__(self) -> None:
        self._crews = SimpleQueue[_Crew]()
        self._thread_id = 0

    def start(self) -> None:
        """Start the thread.

        Raises:
            RuntimeError: No more threads are to be had.
        """
        _thread.start_new_thread(self._serve, ())

    def ask(self, crew: _Crew, cpus: Iterable[int]) -> None:
        """Ask for help with some work.

        Args:
            crew: Who does it.
            cpus: Where it may run.
        """
        if self._thread_id:
            with suppress(OSError):  # then it runs wherever it may
                os.sched_setaffinity(self._thread_id, cpus)
        self._crews.put(crew)

    def _serve(self) -> None:
        self._thread_id = threading.get_native_id() if hasattr(os, "sched_setaffinity") else 0
        while True:
            self._crews.get().help()


_started: list[_Helper] = []
_lock = threading.Lock()


def _helpers(count: int) -> list[_Helper]:
    """Return helpers, as many as asked for where threads are to be had."""
    if count <= 0:
        return []
    with _lock, suppress(RuntimeError):
        while len(_started) < count:
            helper = _Helper()
            helper.start()
            _started.append(helper)
    return _started[:count]


def _other_cpus() -> set[int]:
    """Return where helpers may run: where the caller may, but for where it is.

    The scheduler of a virtual machine may take a sleeping core for a busy one, and wake a helper where its caller is.
    """
    if not hasattr(os, "sched_getaffinity"):
        return set(range(1, os.cpu_count() or 1))
    here = _libc().sched_getcpu()
    usable = os.sched_getaffinity(0)
    return usable - {here if here in usable else min(usable)}


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def _become_child() -> None:
    global _lock
    _started.clear()
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_become_child)
