"""Ctrl-C on its way into the user's code.

    SIGINT -> between requests: ignored
           -> between stages, or while a frame is being sent: waits until that is over
           -> a coroutine waits: its task is cancelled
           -> else: KeyboardInterrupt, at the line that runs

Armed only while code of the user's runs, is unpickled or is pickled. An interrupt within a send would tear
a frame, and one within the loop would stop the loop; both are kept out here.
"""

from __future__ import annotations

import _weakrefset
import asyncio
import os
import signal
import threading
from types import FrameType, TracebackType

from IPython.core.events import EventManager


class Interrupts:
    """Decides what a SIGINT does. A context manager: within it, presses wait.

    Args:
        loop: The loop that runs the cells, in the main thread.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._task: asyncio.Task[None] | None = None
        self._main = threading.get_ident()
        self._held = 0
        self._open = self._pending = False
        self.sync = True
        self.cancelled = False

    def armed(self, task: asyncio.Task[None] | None) -> Armed:
        """Let presses through within a `with`.

        Args:
            task: What to cancel while the user's code waits.
        """
        return Armed(self, task)

    def begin(self) -> None:
        """Open a request: take the signal, also from a handler that a cell has set."""
        signal.signal(signal.SIGINT, self._on_signal)
        self._open, self._pending, self.cancelled = True, False, False

    def end(self) -> None:
        """Close a request: what comes now is too late."""
        self._open, self._pending, self._task = False, False, None

    def arm(self, task: asyncio.Task[None] | None) -> None:
        """Let presses through from now on."""
        self.sync = True
        self._task = task

    def disarm(self) -> None:
        """Let presses wait from now on."""
        self._task = None

    def deliver(self) -> None:
        """Raise what has waited.

        Raises:
            KeyboardInterrupt: A press came between two stages.
        """
        with self:
            pass

    def become_child(self) -> None:
        """Run in a forked child: the loop, which a press might cancel a task of, is the parent's."""
        self.sync, self._held, self._pending = True, 0, False

    def __enter__(self) -> None:
        if threading.get_ident() == self._main:
            self._held += 1

    def __exit__(self, *_: object) -> None:
        if threading.get_ident() != self._main:
            return
        self._held -= 1
        if self._pending and not self._held and self._task is not None:
            self._pending = False
            self._press()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._open:
            return
        if self._held or self._task is None or (frame is not None and frame.f_code in _LEAVING):
            self._pending = True
        elif _is_swallowed(frame):
            threading.Timer(AGAIN_S, os.kill, (os.getpid(), number)).start()
        else:
            self._press()

    def _press(self) -> None:
        running = asyncio.current_task(self._loop)
        if not self.sync and running is not self._task and self._task is not None:
            self.cancelled = True
            self._loop.call_soon_threadsafe(self._task.cancel)
        if self.sync or running is not None:
            raise KeyboardInterrupt


AGAIN_S = 0.02
"""A press that would be swallowed where it came comes again after so long."""


def _is_swallowed(frame: FrameType | None) -> bool:
    """Tell whether an exception raised here ends as a printed line: in a callback of IPython's, or of a weak set."""
    while frame is not None:
        if frame.f_code is EventManager.trigger.__code__ or frame.f_code.co_filename == _weakrefset.__file__:
            return True
        frame = frame.f_back
    return False


class Armed:
    """Presses come through within it; the one that ends the body stands in `press`."""

    def __init__(self, interrupts: Interrupts, task: asyncio.Task[None] | None) -> None:
        self._interrupts, self._task = interrupts, task
        self.press: KeyboardInterrupt | None = None

    def __enter__(self) -> Armed:
        self._interrupts.arm(self._task)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        self._interrupts.disarm()
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self.press = error  # type: ignore[assignment]
        return self.press is not None


_LEAVING = frozenset({Armed.__exit__.__code__, Interrupts.disarm.__code__})
"""Code that ends a stage: raised here, a press would leave the stage open."""
