"""What an Output widget shows: text and displays of its `with`, as the widget's own state.

    with out: -> Capture.open -> print, display -> rows -> at most a few times a second: the model's `outputs`
    the end of the `with`     -> Capture.close -> the widget's trait `outputs`, so that Python and the page agree

A front end would collect these by the id of the message that runs the code. Here code also runs when no message does (a
thread, a callback between cells), so the rows travel as state, which every front end shows and every notebook keeps.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import Token, copy_context
from typing import Any

from remote_runtime.wire import limits
from remote_runtime.worker.origin import CAPTURE, start_apart

UPDATE_S = 0.1
"""Rows travel so often at most; longer rows more seldom, because all of them travel each time."""

ROWS_BYTES = 4 * limits.MIB
"""Rows of one widget; what comes beyond is counted and said in its last row."""

Row = dict[str, Any]


class Capture:
    """The rows of one Output widget.

    Args:
        send: Sends the model a new state; safe in any thread.
    """

    def __init__(self, send: Callable[[Row], None]) -> None:
        self._send = send
        self._lock = threading.RLock()
        self._rows: list[Row] = []
        self._size_bytes = self._dropped_bytes = 0
        self._clears = self._planned = False
        self._sent_s = 0.0
        self._outer: Token[Any] | None = None
        self.is_open = False

    def open(self, rows: list[Row]) -> None:
        """Take what the calling code, and what it starts, shows from now on.

        Args:
            rows: What the widget shows already.
        """
        self.load(rows)
        self._outer, self.is_open = CAPTURE.set(self), True

    def close(self) -> list[Row]:
        """Take nothing more; return what the widget shows."""
        self.is_open = False
        outer, self._outer = self._outer, None
        try:
            if outer is not None:
                CAPTURE.reset(outer)
        except ValueError:  # closed by another thread than the one that opened it, which sees `is_open`
            pass
        with self._lock:
            return list(self._rows)

    def load(self, rows: list[Row]) -> None:
        """Start from other rows."""
        with self._lock:
            self._rows, self._clears, self._dropped_bytes = [dict(row) for row in rows], False, 0
            self._size_bytes = _size_bytes(self._rows)

    def print(self, is_stderr: bool, text: str) -> None:
        """Add text."""
        name = "stderr" if is_stderr else "stdout"
        with self._lock:
            if self._has_room(len(text)):
                last = self._rows[-1] if self._rows else {}
                if (last.get("output_type"), last.get("name")) == ("stream", name):
                    last["text"] += text
                else:
                    self._rows.append({"output_type": "stream", "name": name, "text": text})
        self._plan()

    def display(self, data: Mapping[str, Any], metadata: Mapping[str, Any], display_id: str, update: bool) -> bool:
        """Add a display, or change those of its id.

        Returns:
            Whether it is shown here; an update of what stands elsewhere is not.
        """
        row = {"output_type": "display_data", "data": dict(data), "metadata": dict(metadata)}
        if display_id:
            row["transient"] = {"display_id": display_id}
        with self._lock:
            if update:
                same = [n for n, old in enumerate(self._rows) if old.get("transient") == row.get("transient")]
                if not same:
                    return False
                for n in same:
                    self._rows[n] = row
            elif self._has_room(_size_bytes([row])):
                self._rows.append(row)
        self._plan()
        return True

    def clear(self, wait: bool) -> None:
        """Drop all rows, now or with the next one."""
        with self._lock:
            self._clears = wait
            if not wait:
                self.load([])
        self._plan()

    def _has_room(self, size_bytes: int) -> bool:
        """Count a row, after the clear that waited for it."""
        if self._clears:
            self.load([])
        if self._size_bytes + size_bytes <= ROWS_BYTES:
            self._size_bytes += size_bytes
            return True
        if not self._dropped_bytes:
            self._rows.append({"output_type": "stream", "name": "stderr", "text": ""})
        self._dropped_bytes += size_bytes
        self._rows[-1]["text"] = f"\noutput was cut: {self._dropped_bytes:,} bytes of this widget are not shown\n"
        return False

    def _plan(self) -> None:
        """Let the rows travel soon, by a thread of our own where no time has passed since the last."""
        rest_s = UPDATE_S * (1 + self._size_bytes / limits.MIB)
        with self._lock:
            if self._planned:
                return
            waits_s = self._sent_s + rest_s - time.monotonic()
            self._planned = waits_s > 0
        if waits_s > 0:
            timer = threading.Timer(waits_s, copy_context().run, (self._update, True))
            timer.daemon = True
            start_apart(timer)
        else:
            self._update(False)

    def _update(self, is_planned: bool) -> None:
        with self._lock:
            if is_planned:
                self._planned = False
            if not self.is_open:
                return
            self._sent_s, rows = time.monotonic(), [dict(row) for row in self._rows]
        self._send({"outputs": rows})  # not under the lock: sending waits for locks of its own


def _size_bytes(rows: list[Row]) -> int:
    return len(json.dumps(rows, default=str)) if rows else 0
