"""One line of ours per cell: the status while the run lasts, and the receipt when it has ended.

Both share one display: the status appears after half a second, changes at most twice a second, and becomes the
receipt. A quick cell shows the receipt alone. One ticker thread publishes for all cells, because the kernel's own
thread waits for events; what it says is set from the road. It outlives the cells: starting a thread for each would
cost every quick cell half a millisecond.
"""

from __future__ import annotations

import contextvars
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from jupyter_ext import display
from remote_runtime.wire import messages_pb2 as pb

FIRST_SHOWN_S = 0.5
UPDATE_S = 0.5
LOOK_S = 0.1
PARKED_AFTER_S = 5.0
EMPTY: Mapping[str, Any] = {"text/plain": "", "text/html": ""}


class StatusLine:
    """What happens to the cell right now, in one line; use it as a context manager.

    Args:
        shell: Whose outputs it stands among.
        enabled: Whether to show it at all.
        clock: Monotonic seconds.
    """

    def __init__(
        self, shell: InteractiveShell, enabled: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._shell = shell
        self._enabled = enabled and not display.is_captured(shell)
        self._clock = clock
        self._started_s = clock()
        self._phase, self._phase_s = "starting", self._started_s
        self._where = self._reading = ""
        self._display_id = ""
        self._waits_for_output = False
        self._next_s = self._started_s + FIRST_SHOWN_S
        self._lock = threading.Lock()
        self._done = threading.Event()

    def __enter__(self) -> StatusLine:
        if self._enabled:
            _ticker.watch(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def say(self, phase: str) -> None:
        """Name what happens from now on: "sending 3.1 MB", "running"."""
        self._phase, self._phase_s = phase, self._clock()

    def reword(self, phase: str) -> None:
        """Say the same thing in newer figures; its time goes on."""
        self._phase = phase

    def at(self, where: str) -> None:
        """Name the device, once it is known."""
        self._where = where

    def on_output(self) -> None:
        """An output was shown, so a pending clear has happened, and took the line with it."""
        if self._waits_for_output:
            with self._lock:
                self._waits_for_output, self._display_id = False, ""

    def on_clear(self, wait: bool) -> None:
        """Outputs were cleared, and the line among them; while a clear waits, a line of ours must not trigger it."""
        with self._lock:
            self._waits_for_output = wait
            self._display_id = self._display_id if wait else ""

    def on_reading(self, reading: pb.Reading) -> None:
        """Keep the newest reading of the device."""
        self._reading = reading_text(reading)

    def close(self, mime: Mapping[str, Any] | None = None, metadata: Mapping[str, Any] | None = None) -> None:
        """End the line: replace it by a receipt, or empty it. The second call does nothing.

        Args:
            mime: The receipt's data; None for no receipt.
            metadata: The receipt's metadata.
        """
        with self._lock:
            if self._done.is_set():
                return
            self._done.set()
            if mime is not None and (self._display_id or not self._waits_for_output):
                display.publish(self._shell, mime, metadata, self._display_id, update=bool(self._display_id))
            elif self._display_id:
                display.publish(self._shell, EMPTY, None, self._display_id, update=True)

    def text(self) -> str:
        """Return the line as it reads now."""
        phase = f"{self._phase} {duration_text(self._clock() - self._phase_s)}"
        return "◐ " + " · ".join(part for part in (self._where, phase, self._reading) if part)

    @property
    def over(self) -> bool:
        """Whether the line has ended."""
        return self._done.is_set()

    def look(self) -> None:
        """Show the line anew, if it is time. Called by the ticker."""
        with self._lock:
            now_s = self._clock()
            if self.over or now_s < self._next_s or (self._waits_for_output and not self._display_id):
                return
            self._next_s = now_s + UPDATE_S
            self._show_now()

    def _show_now(self) -> None:
        is_first, self._display_id = not self._display_id, self._display_id or uuid.uuid4().hex
        display.publish(
            self._shell, display.line_mime(self.text()), None, self._display_id, update=not is_first
        )


class _Ticker:
    """The thread that looks at every line that lasts."""

    def __init__(self) -> None:
        self._lines: dict[StatusLine, contextvars.Context] = {}
        self._wanted = threading.Event()
        self._pid = 0

    def watch(self, line: StatusLine) -> None:
        """Look at a line until it is over."""
        # The copied context carries the parent header, so that the line lands in its own cell.
        self._lines[line] = contextvars.copy_context()
        if self._pid != os.getpid():  # also after a fork, which takes no thread along
            self._pid = os.getpid()
            threading.Thread(target=self._tick, name="warmcell-status", daemon=True).start()
        if not self._wanted.is_set():
            self._wanted.set()

    def _tick(self) -> None:
        quiet_s = 0.0
        while True:
            if quiet_s > PARKED_AFTER_S:
                self._wanted.clear()
                if not self._lines:  # one that came before the clear is seen here, one after it sets the event again
                    self._wanted.wait()
                quiet_s = 0.0
            time.sleep(LOOK_S)
            quiet_s = 0.0 if self._look() else quiet_s + LOOK_S

    def _look(self) -> bool:
        for line, context in list(self._lines.items()):
            if line.over:
                del self._lines[line]
            else:
                context.run(line.look)
        return bool(self._lines)


_ticker = _Ticker()


def duration_text(seconds: float) -> str:
    """Write a duration for a line that is updated: `7 s`, `2:07`, `1:02:07`."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def reading_text(reading: pb.Reading) -> str:
    """Write a device's reading; a figure that could not be read is a dash."""
    busy = f"{reading.utilization_pct:.0f} %" if reading.HasField("utilization_pct") else "-"
    used = f"{reading.memory_used_bytes / 1e9:.1f}" if reading.HasField("memory_used_bytes") else "-"
    total = f"{reading.memory_total_bytes / 1e9:.0f} GB" if reading.HasField("memory_total_bytes") else "-"
    return f"GPU {busy} {used}/{total}"
