"""What a run shows after its end, and where it goes: to a display of the cell that started it, and to no other cell.

    reader thread -> Late.take -> queue -> Late's own thread -> comm messages: at once, to their widgets
                                                             -> the rest: the run's Sheet -> its display, now and then

The display is made when the first late output arrives; at the end of the cell already, where threads or tasks of the
run go on, because a notebook that is run headless takes new outputs for the running cell only. Then it is updated.
"""

from __future__ import annotations

import contextvars
import json
import logging
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from jupyter_ext import display
from jupyter_ext.comms import Comms
from jupyter_ext.far import Far
from jupyter_ext.sheet import Sheet
from jupyter_ext.status import EMPTY
from remote_runtime.wire import messages_pb2 as pb

log = logging.getLogger(__name__)

UPDATE_S = 0.3
"""A display is updated so often at most."""

CELLS_COUNT = 200
"""Runs whose cell is remembered, the latest of them; what comes late of older ones is only kept in their log."""

WAITING_COUNT = 100_000
_LOOK, _STOP = "look", "stop"


@dataclass
class _Place:
    """Where the late outputs of one run go.

    Args:
        run_id: The run.
        context: Of the cell that shows it; holds the message that its outputs answer.
        has_comms: Whether the cell showed the run's widgets.
        is_settled: Whether the cell has shown all that came before the end; what is late waits for that.
    """

    run_id: str
    context: contextvars.Context
    has_comms: bool
    is_settled: bool
    waiting: deque[tuple[Far, pb.Event]] = field(default_factory=lambda: deque(maxlen=WAITING_COUNT))
    sheet: Sheet = field(default_factory=Sheet)
    display_id: str = ""
    shown_s: float = 0.0
    seq: int = 0
    is_dirty: bool = False
    apart: list[pb.Display] = field(default_factory=list)
    far: Far | None = None


class Late:
    """The late outputs of all runs of one kernel.

    Args:
        shell: The kernel's.
        comms: Take the messages of widgets.
    """

    def __init__(self, shell: InteractiveShell, comms: Comms) -> None:
        self._shell, self._comms = shell, comms
        self._places: dict[str, _Place] = {}
        self._inbox: SimpleQueue[tuple[Far, pb.Event] | str] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def expect(self, run_id: str, is_shown: bool = True) -> None:
        """Let what comes late of a run go to the cell that runs now.

        Args:
            run_id: The run.
            is_shown: Whether the cell shows the run's own outputs first, and then calls `settle`.
        """
        self._places.pop(run_id, None)
        self._places[run_id] = _Place(run_id, contextvars.copy_context(), is_shown, not is_shown)
        if len(self._places) > CELLS_COUNT:
            del self._places[next(iter(self._places))]

    def settle(self, run_id: str, end: pb.End) -> None:
        """Begin to show what comes late; make the display already, where it is known that something goes on."""
        place = self._places.get(run_id)
        if place is None or place.is_settled:
            return
        if end.late and not display.is_captured(self._shell):
            self._publish(place, dict(EMPTY))
        place.is_settled = True
        if self._thread is not None:
            self._inbox.put(_LOOK)

    def take(self, far: Far, event: pb.Event) -> None:
        """Take an event; called by the thread that reads the session, which must not wait."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="warmcell-late", daemon=True)
            self._thread.start()
        self._inbox.put((far, event))

    def close(self) -> None:
        """Show what has arrived, and end the thread."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._inbox.put(_STOP)
            thread.join(2 * UPDATE_S)

    def _serve(self) -> None:
        item: tuple[Far, pb.Event] | str = ""
        while item != _STOP:
            item = self._next()
            try:
                self._serve_one(item)
            except Exception:  # noqa: BLE001  one output that cannot be shown must not silence all that follow
                log.exception("a late output cannot be shown")

    def _serve_one(self, item: tuple[Far, pb.Event] | str) -> None:
        if isinstance(item, tuple):
            self._hear(*item)
        elif item == _LOOK:
            self._hear_waiting()
        for place in self._dirty():
            if item == _STOP or time.monotonic() >= place.shown_s + UPDATE_S:
                self._show(place)

    def _dirty(self) -> list[_Place]:
        return [place for place in list(self._places.values()) if place.is_dirty]

    def _next(self) -> tuple[Far, pb.Event] | str:
        """Wait for an event, no longer than until a display is due."""
        due_s = min((place.shown_s + UPDATE_S for place in self._dirty()), default=None)
        try:
            return self._inbox.get(timeout=None if due_s is None else max(0.0, due_s - time.monotonic()))
        except Empty:
            return ""

    def _hear_waiting(self) -> None:
        for place in list(self._places.values()):
            while place.is_settled and place.waiting:
                self._hear(*place.waiting.popleft())

    def _hear(self, far: Far, event: pb.Event) -> None:
        place = self._places.get(event.run_id)
        if place is None or event.seq <= place.seq:  # shown already: somebody else replays the run
            return
        if not place.is_settled:
            place.waiting.append((far, event))
            return
        place.far, place.seq, place.is_dirty = far, event.seq, True
        if event.HasField("comm"):
            if place.has_comms:
                self._comms.take(far, event)
        elif not place.sheet.feed(event) and event.HasField("display"):
            place.apart.append(event.display)

    def _show(self, place: _Place) -> None:
        place.shown_s = time.monotonic()
        if display.is_captured(self._shell):  # `%%capture` would take it for an output of the cell that runs
            return
        place.is_dirty = False
        while place.apart:
            self._publish_apart(place, place.apart.pop(0))
        if place.display_id or not place.sheet.is_empty:
            self._publish(place, dict(EMPTY) if place.sheet.is_empty else place.sheet.bundle())
        if place.far is not None and place.far.session.lost is None:
            place.far.session.acknowledge(place.run_id, place.seq)

    def _publish(self, place: _Place, data: dict[str, Any]) -> None:
        is_first, place.display_id = not place.display_id, place.display_id or uuid.uuid4().hex
        metadata = {display.METADATA_KEY: {"late": place.run_id}}
        self._as_of(place, not is_first, display.publish, self._shell, data, metadata, place.display_id, not is_first)

    def _publish_apart(self, place: _Place, shown: pb.Display) -> None:
        """Publish a display that no sheet can hold, or an update of one that stands elsewhere, by itself."""
        data, metadata = json.loads(shown.mime.data_json or "{}"), json.loads(shown.mime.metadata_json or "{}")
        ours = (self._shell, data, metadata, shown.display_id, shown.update)
        self._as_of(place, shown.update, display.publish, *ours)

    def _as_of(self, place: _Place, is_update: bool, publish: Any, *args: Any) -> None:
        """Publish as an output of the place's cell.

        A headless run reads only what answers the cell that runs now, and applies an update wherever its display
        stands.
        """
        kernel = getattr(self._shell, "kernel", None)
        is_headless = not getattr(kernel, "_allow_stdin", True)
        if is_update and is_headless:
            publish(*args)
        else:
            place.context.run(publish, *args)
