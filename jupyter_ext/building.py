"""A build as the notebook shows it: one display with a bar, the step, and the log's last lines, updated as it goes.

    Built, BuildStep, lines -> BuildScreen -> display data, at most some times a second -> the whole log, folded

All of it is display data: stdout and stderr hold the user's bytes alone. What was there already shows one line.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from jupyter_ext import display
from jupyter_ext.receipt import size_text
from jupyter_ext.status import duration_text
from remote_runtime.wire import messages_pb2 as pb

UPDATE_S = 0.2
_SHOWN_LINES, _KEPT_LINES = 8, 2000
_WIDTH, _NAMED = 20, 4


class BuildScreen:
    """What one build shows.

    Args:
        shell: Among whose outputs.
        enabled: Whether it shows anything before its end.
        clock: Monotonic seconds.
    """

    def __init__(
        self, shell: InteractiveShell, enabled: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._shell, self._clock = shell, clock
        self._enabled = enabled and not display.is_captured(shell)
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._title, self._number, self._count = "preparing", 0, 0
        self._began_s, self._next_s = clock(), 0.0
        self._display_id = ""

    @property
    def has_built(self) -> bool:
        """Whether there was anything to do."""
        return bool(self._lines or self._display_id)

    def sending(self, done_bytes: int, size_bytes: int) -> None:
        """Say how much of the files has been sent."""
        self._title = f"sending files {size_text(done_bytes)} of {size_text(size_bytes)}"
        self._show()

    def step(self, begun: pb.BuildStep) -> None:
        """Begin another step; one whose layer is there is passed over."""
        self._number, self._count, self._title = begun.number, begun.count, begun.title
        there = " (there already)" if begun.reused else ""
        self._lines.append(f"step {begun.number}/{begun.count} {begun.title}{there}")
        if not begun.reused:
            self._show(now=True)

    def line(self, text: str) -> None:
        """Add a line of the log."""
        self._lines.append(text)
        self._show()

    def done(self, built: pb.Built, what: str) -> None:
        """Show how it ended: what it is, and what is in it that was not there before.

        Args:
            built: As the gateway tells it.
            what: The image's name in the notebook.
        """
        took = "was there" if built.reused else f"built in {duration_text(built.took_s)}"
        parts = [f"image {what} {built.digest[:12]}", took, *_packages(built)]
        self._end(" · ".join(parts), is_open=False)

    def failed(self) -> None:
        """Leave the log as it is, unfolded: the error says the rest."""
        if self.has_built:
            self._end(f"the build ended at step {self._number}/{self._count} {self._title}", is_open=True)

    def _show(self, now: bool = False) -> None:
        moment_s = self._clock()
        if self._enabled and (now or moment_s >= self._next_s):
            self._next_s = moment_s + UPDATE_S
            self._publish(self._mime())

    def _end(self, head: str, is_open: bool) -> None:
        text = "\n".join(self._lines)
        log = f"<details{' open' if is_open else ''}><summary>log</summary><pre>{escape(text)}</pre></details>"
        html = display.line_mime(head)["text/html"] + (log if text else "")
        self._publish({"text/plain": head, "text/html": html}, {display.METADATA_KEY: {"build": head}})

    def _mime(self) -> dict[str, Any]:
        done = max(0, self._number - 1)
        share = done / self._count if self._count else 0.0
        head = f"step {self._number}/{self._count} {self._title}" if self._count else self._title
        took = duration_text(self._clock() - self._began_s)
        last = list(self._lines)[-_SHOWN_LINES:]
        bar = "#" * round(share * _WIDTH)
        plain = "\n".join([f"[{bar.ljust(_WIDTH, '-')}] {head} · {took}", *last])
        html = f'<progress max="1" value="{share:.3f}"></progress> {escape(f"{head} · {took}")}'
        return {"text/plain": plain, "text/html": f"<div>{html}</div><pre>{escape(chr(10).join(last))}</pre>"}

    def _publish(self, data: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> None:
        is_first, self._display_id = not self._display_id, self._display_id or uuid.uuid4().hex
        display.publish(self._shell, data, metadata, self._display_id, update=not is_first)


def _packages(built: pb.Built) -> list[str]:
    return [f"{what} {_some(names)}" for what, names in (("added", built.added), ("changed", built.changed)) if names]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
