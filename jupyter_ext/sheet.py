"""What a run shows after its end, as one display: text and rich outputs in their order, the latest of them.

    late event -> Sheet.feed -> pieces -> Sheet.bundle -> text/plain, and text/html where text alone does not do
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from html import escape
from typing import Any

from remote_runtime.wire import messages_pb2 as pb

TEXT_CHARACTERS = 64 * 1024
PIECES_COUNT = 200
RICH_CHARACTERS = 4 * 1024 * 1024
"""What one display holds at most; the oldest goes first, and the display says so."""

AS_HTML = ("text/html", "image/svg+xml", "image/png", "image/jpeg", "image/gif", "text/plain")
"""What a page of HTML can hold, the richest first."""

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass
class Piece:
    """A stretch of text, or one display.

    Args:
        stream: "stdout" or "stderr"; empty for a display.
        text: The text.
        data: The display's MIME bundle.
        display_id: The display's id, if it has one.
    """

    stream: str = ""
    text: str = ""
    data: dict[str, Any] | None = None
    display_id: str = ""

    @property
    def size(self) -> int:
        """Characters that it takes."""
        return len(self.text) + sum(len(str(part)) for part in (self.data or {}).values())


class Sheet:
    """The late outputs of one run."""

    def __init__(self) -> None:
        self._pieces: list[Piece] = []
        self._clears = False
        self._dropped = 0
        self._cut = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not self._pieces and not self._cut

    def feed(self, event: pb.Event) -> bool:
        """Take an event.

        Returns:
            Whether the sheet shows it; an update of a display that stands elsewhere, and a display that no sheet can
                hold, are left to the caller.
        """
        kind = event.WhichOneof("body")
        if kind == "stream":
            self._add_text("stderr" if event.stream.stderr else "stdout", event.stream.text)
        elif kind == "display":
            return self._add_display(event.display)
        elif kind == "clear":
            self._clears = event.clear.wait
            if not event.clear.wait:
                self._pieces.clear()
        elif kind == "cut":
            self._cut = f"output was cut: {event.cut.dropped_bytes:,} bytes are not shown"
        return True

    def bundle(self) -> dict[str, Any]:
        """Return the sheet as a MIME bundle."""
        plain = "".join(self._notes()) + "".join(_as_text(piece) for piece in self._pieces)
        if all(piece.stream == "stdout" for piece in self._pieces):
            return {"text/plain": plain}
        notes = "".join(f"<div style='opacity:.75'>{escape(note)}</div>" for note in self._notes())
        return {"text/plain": plain, "text/html": notes + "".join(_as_html(piece) for piece in self._pieces)}

    def _notes(self) -> list[str]:
        dropped = f"… {self._dropped:,} earlier characters are no longer shown\n" if self._dropped else ""
        return [note for note in (dropped, f"{self._cut}\n" if self._cut else "") if note]

    def _add_text(self, stream: str, text: str) -> None:
        self._clear_first()
        if not self._pieces or self._pieces[-1].stream != stream:
            self._pieces.append(Piece(stream))
        last = self._pieces[-1]
        last.text = _overwritten(last.text + text)
        over = len(last.text) - TEXT_CHARACTERS
        if over > 0:
            last.text = last.text[over:].partition("\n")[2] or last.text[over:]
            self._dropped += over
        self._shorten()

    def _add_display(self, display: pb.Display) -> bool:
        data = json.loads(display.mime.data_json or "{}")
        same = [piece for piece in self._pieces if display.display_id and piece.display_id == display.display_id]
        if display.update:
            for piece in same:
                piece.data = data
            return bool(same)
        if not holds(data):
            return False
        self._clear_first()
        self._pieces.append(Piece(data=data, display_id=display.display_id))
        self._shorten()
        return True

    def _clear_first(self) -> None:
        if self._clears:
            self._pieces.clear()
            self._clears = False

    def _shorten(self) -> None:
        while len(self._pieces) > 1 and (
            len(self._pieces) > PIECES_COUNT or sum(piece.size for piece in self._pieces) > RICH_CHARACTERS
        ):
            self._dropped += self._pieces.pop(0).size


def holds(data: dict[str, Any]) -> bool:
    """Tell whether a sheet can show a display as richly as it is: nothing in it needs a renderer of its own."""
    return all(kind in AS_HTML for kind in data)


def _overwritten(text: str) -> str:
    """Leave out what a carriage return wrote over, but keep the last line's own: more may follow."""
    if "\r" not in text:
        return text
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join("\r" * line.endswith("\r") + line.rstrip("\r").rpartition("\r")[2] for line in lines)


def _as_text(piece: Piece) -> str:
    if piece.data is None:
        return piece.text.replace("\r", "")
    return f"{piece.data.get('text/plain', '<a display>')}\n"


def _as_html(piece: Piece) -> str:
    if piece.data is None:
        style = " style='background:rgba(255,80,80,.15)'" if piece.stream == "stderr" else ""
        return f"<pre{style}>{escape(_ESCAPES.sub('', piece.text).replace(chr(13), ''))}</pre>"
    kind = next((kind for kind in AS_HTML if kind in piece.data), "")
    part = piece.data.get(kind, "")
    text = "".join(part) if isinstance(part, list) else str(part)
    if kind.startswith("image/") and kind != "image/svg+xml":
        return f'<img src="data:{kind};base64,{escape(text.strip())}">'
    return f"<div>{text}</div>" if kind in ("text/html", "image/svg+xml") else f"<pre>{escape(text)}</pre>"
