"""Events -> the cell's own outputs, through the doors that a local cell uses.

    Stream  -> sys.stdout, sys.stderr         Display, Clear -> shell.display_pub
    Result  -> sys.displayhook                Cut -> a notice; Reading -> the status line
    Comm    -> the kernel's comms             Ask -> the kernel's prompt

So `%%capture`, Output widgets and a front end see a remote cell as they see a local one. What is ours (notices,
status, receipt) is display data and never stream text: stdout and stderr hold the user's bytes alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from typing import Any, Protocol

from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

from remote_runtime.wire import messages_pb2 as pb

METADATA_KEY = "warmcell"


@dataclass(frozen=True)
class Rendered:
    """What a value showed of itself on the worker: stands for it here until the value arrives.

    Args:
        data: MIME type -> data.
        metadata: MIME type -> metadata.
    """

    data: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        return dict(self.data), dict(self.metadata)

    def __repr__(self) -> str:
        return str(self.data.get("text/plain", "<shown on the worker>"))


def rendered(mime: pb.Mime) -> Rendered:
    """Read a MIME bundle of the wire."""
    return Rendered(json.loads(mime.data_json or "{}"), json.loads(mime.metadata_json or "{}"))


class Beside(Protocol):
    """What stands beside the outputs and must know of them: the status line."""

    def on_output(self) -> None:
        """An output was shown."""

    def on_clear(self, wait: bool) -> None:
        """The outputs were cleared, or will be with the next one."""

    def on_reading(self, reading: pb.Reading) -> None:
        """The device was read."""


class Screen:
    """The outputs of the cell that runs now.

    Args:
        shell: Whose outputs they are.
        beside: Told of what is shown.
        wants_result: Whether the last expression's value is shown; the expression form returns it instead.
        on_comm: Takes the events of comms.
        on_ask: Takes questions.
    """

    def __init__(
        self,
        shell: InteractiveShell,
        beside: Beside,
        wants_result: bool = True,
        on_comm: Callable[[pb.Event], None] | None = None,
        on_ask: Callable[[pb.Ask], None] | None = None,
    ) -> None:
        self._shell, self._on_comm = shell, on_comm
        self._beside = beside
        self._wants_result = wants_result
        self.result: Rendered | None = None
        self._others: Mapping[str, Callable[[Any], None]] = {
            "reading": beside.on_reading,
            **({"ask": on_ask} if on_ask is not None else {}),
        }

    def show(self, event: pb.Event) -> None:
        """Show one event; kinds that have nothing to show pass by."""
        kind = event.WhichOneof("body") or ""
        if kind == "comm" and self._on_comm is not None:
            self._on_comm(event)
        elif kind in _SHOWN:
            _SHOWN[kind](self, getattr(event, kind))
        elif kind in self._others:
            self._others[kind](getattr(event, kind))

    def _stream(self, stream: pb.Stream) -> None:
        self._beside.on_output()
        file = sys.stderr if stream.stderr else sys.stdout
        file.write(stream.text)
        file.flush()

    def _display(self, display: pb.Display) -> None:
        shown = rendered(display.mime)
        transient = json.loads(display.transient_json or "{}")
        if display.display_id:
            transient["display_id"] = display.display_id
        self._beside.on_output()
        publish = self._shell.display_pub.publish
        publish(dict(shown.data), dict(shown.metadata), transient=transient, update=display.update)

    def _clear(self, clear: pb.Clear) -> None:
        self._beside.on_clear(clear.wait)
        self._shell.display_pub.clear_output(clear.wait)

    def _result(self, result: pb.Result) -> None:
        if self._wants_result:
            self.result = rendered(result.mime)
            self._beside.on_output()
            sys.displayhook(self.result)

    def _cut(self, cut: pb.Cut) -> None:
        name = "stderr" if cut.stderr else "stdout"
        notice(
            self._shell,
            f"output was cut: {cut.dropped_bytes:,} bytes ({cut.dropped_lines:,} lines) of {name} are not shown, "
            f"{cut.shown_bytes:,} bytes are",
        )


_SHOWN: Mapping[str, Callable[[Screen, Any], None]] = {
    "stream": Screen._stream,
    "display": Screen._display,
    "clear": Screen._clear,
    "result": Screen._result,
    "cut": Screen._cut,
}
"""Not bound: a screen that referred to itself would keep the run's values alive until they are collected."""


def notice(shell: InteractiveShell, text: str) -> None:
    """Show a line of ours among the outputs, as display data."""
    publish(shell, line_mime(text), {METADATA_KEY: {"notice": text}})


def line_mime(text: str) -> dict[str, Any]:
    """Return a line of ours as text and HTML, in the theme's own colours."""
    return {"text/plain": text, "text/html": f'<div style="opacity:.75;font-size:90%">{escape(text)}</div>'}


def publish(
    shell: InteractiveShell,
    data: Mapping[str, Any],
    metadata: Mapping[str, Any] | None = None,
    display_id: str = "",
    update: bool = False,
) -> None:
    """Publish display data, under a display id when it shall be updated later."""
    transient = {"display_id": display_id} if display_id else {}
    with _unflushed(shell.display_pub):
        shell.display_pub.publish(dict(data), dict(metadata or {}), transient=transient, update=update)


@contextmanager
def _unflushed(publisher: Any) -> Iterator[None]:
    """Spare a line of ours the two waits for ipykernel's sending thread: a cell's own text is flushed as it comes.

    They cost 0.6 ms, which every quick cell would pay for its receipt. Where ipykernel flushes by another name,
    nothing is spared and nothing breaks.
    """
    spared = "_flush_streams" in dir(type(publisher))
    if spared:
        publisher._flush_streams = _flush_nothing
    try:
        yield
    finally:
        if spared:
            publisher.__dict__.pop("_flush_streams", None)  # another thread of ours may have been quicker


def _flush_nothing() -> None:
    pass


def is_captured(shell: InteractiveShell) -> bool:
    """Tell whether `%%capture` holds the outputs, where a line that is updated would pile up."""
    return isinstance(shell.display_pub, CapturingDisplayPublisher)


def settle(shell: InteractiveShell, stand_in: Rendered, value: object) -> None:
    """Put the value where IPython put its stand-in: `_`, `__`, `___`, `_n`, `Out[n]` and the cell's result."""
    hook, names = shell.displayhook, shell.user_ns
    history = ("_", "__", "___", f"_{shell.execution_count}")
    for name in history[:3]:
        if getattr(hook, name, None) is stand_in:
            setattr(hook, name, value)
    # Pushed, as IPython does: it takes a `_` that it does not know itself for the user's own, and leaves it alone.
    shell.push({name: value for name in history if names.get(name) is stand_in}, interactive=False)
    outs = names.get("_oh", {})
    for count in [n for n, held in outs.items() if held is stand_in]:
        outs[count] = value
    if hook.exec_result is not None and hook.exec_result.result is stand_in:
        hook.exec_result.result = value
