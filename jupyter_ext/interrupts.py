"""The interrupt button while a run is shown: first press interrupts the run, second kills it, third leaves it.

    SIGINT -> Presses -> session.interrupt -> the run's own end -> the cell

Nothing is raised in the kernel for the first two presses, so no event that is being shown is cut in two: the run's end
says what happened, and that is what the cell raises. While names are bound, a press waits until that is done (`Whole`).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, TypeVar

Handled = TypeVar("Handled", bound="_Handled")


class _Handled:
    """Takes SIGINT within a `with`."""

    def __init__(self) -> None:
        self._is_set = False
        self._before: Any = None
        self.count = 0

    def __enter__(self: Handled) -> Handled:
        # Only the main thread can have a handler; elsewhere no interrupt arrives anyway.
        if threading.current_thread() is threading.main_thread():
            self._before, self._is_set = signal.signal(signal.SIGINT, self._press), True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._is_set:
            signal.signal(signal.SIGINT, signal.SIG_DFL if self._before is None else self._before)

    def _press(self, number: int, frame: FrameType | None) -> None:
        raise NotImplementedError


class Presses(_Handled):
    """Sends SIGINT to a run; use it as a context manager around the run.

    Args:
        interrupt: Interrupts the run, or kills it when told True. Called from a signal handler.
    """

    def __init__(self, interrupt: Callable[[bool], None]) -> None:
        super().__init__()
        self._interrupt = interrupt

    def _press(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count > 2:
            raise KeyboardInterrupt("the run was left; `%gpu attach` shows how it goes on")
        self._interrupt(self.count == 2)


class Whole(_Handled):
    """Lets SIGINT wait until what it stands around is whole; a second press does not wait.

    Raises:
        KeyboardInterrupt: On the way out, when there was a press.
    """

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, tb)
        if self.count and kind is None:
            raise KeyboardInterrupt

    def _press(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count > 1:
            raise KeyboardInterrupt
