"""The receipt of a run: what it cost in time and bytes and what it did to names, as one line and as facts.

    RunFacts -> one line (text, HTML) + the same facts as JSON, in the output's data and metadata

Facts are measured where they happen and put together here; nothing is shown that was not measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jupyter_ext import display
from remote_runtime.wire import messages_pb2 as pb

RUN_MIME = "application/vnd.warmcell.run+json"
_UNITS = ("B", "kB", "MB", "GB", "TB")
_MARKS = {"ok": "✓", "running": "◐"}


@dataclass
class RunFacts:
    """What is known of one run; filled along the road.

    Args:
        run_id: The run.
        session: Name of its session.
        target: What was asked for.
        status: ok, error, interrupted, died, timeout, cancelled, or running.
        devices: Models of the devices it ran on.
        simulated: Whether they are declared for trial.
        wait_s: From the cell's start until a session was there.
        send_s: Gathering, packing and sending what was captured.
        run_s: Running, as the worker measured it.
        fetch_s: Packing results there and unpacking them here.
        total_s: From the cell's start to its end.
        sent_bytes: Bytes of captured values.
        reused_bytes: Bytes of captured values that did not travel, because the session has had the same before.
        received_bytes: Bytes of values that came back.
        sent: Names that travelled.
        reused: Names that stayed where they were.
        updated: Names that the run changed, and that are changed here now.
        left: Names that changed there and not here, each with the reason.
        slow: Names that took long to compare, in seconds.
        bound: Names set here.
        kept: Name -> size in bytes of values that stayed remote; None where the size is not known.
        deleted: Names deleted here.
        problems: Names that could not be brought here.
        sources: Files of local modules that were sent.
    """

    run_id: str = ""
    session: str = ""
    target: str = ""
    status: str = "running"
    devices: list[str] = field(default_factory=list)
    simulated: bool = False
    wait_s: float | None = None
    send_s: float | None = None
    run_s: float | None = None
    fetch_s: float | None = None
    total_s: float | None = None
    sent_bytes: int = 0
    reused_bytes: int = 0
    received_bytes: int = 0
    sent: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    slow: dict[str, float] = field(default_factory=dict)
    bound: list[str] = field(default_factory=list)
    kept: dict[str, int | None] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    sources: int = 0

    def json(self) -> dict[str, Any]:
        """Return the facts as JSON values."""
        return dict(vars(self))


def line(facts: RunFacts) -> str:
    """Write the receipt's one line."""
    kept = [f"{name} ({size_text(size)})" for name, size in sorted(facts.kept.items())]
    parts = [
        f"{_MARKS.get(facts.status, '✗')} {where_text(facts.devices, facts.simulated)}",
        "" if facts.status in _MARKS else facts.status,
        f"{seconds_text(facts.total_s)} ({_times(facts)})",
        f"↑ {size_text(facts.sent_bytes)}{_reused(facts.reused_bytes)} ↓ {size_text(facts.received_bytes)}",
        _names("sent", facts.sent),
        _names("reused", facts.reused),
        f"sources: {facts.sources} file{'s' if facts.sources > 1 else ''}" if facts.sources else "",
        _names("set", facts.bound),
        _names("updated", facts.updated),
        _names("kept remote", kept),
        _names("deleted", facts.deleted),
        _names("not brought here:", facts.problems),
        _names("newer there:", sorted(facts.left)),
        _slow(facts.slow),
    ]
    return " · ".join(part for part in parts if part)


def mime(facts: RunFacts) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the receipt's display data and metadata."""
    found = facts.json()
    return {**display.line_mime(line(facts)), RUN_MIME: found}, {display.METADATA_KEY: found}


def where_text(models: Sequence[str], simulated: bool = False) -> str:
    """Write which devices: `A100-80GB`, `2 × A100 (simulated)`, `-` when none is known."""
    kinds = dict.fromkeys(models)
    counts = [
        f"{list(models).count(kind)} × {kind}" if list(models).count(kind) > 1 else kind for kind in kinds
    ]
    return (" + ".join(counts) or "-") + (" (simulated)" if simulated else "")


def devices_text(devices: Sequence[pb.Device]) -> str:
    """Write the devices of a session."""
    return where_text([d.model or d.id for d in devices], any(d.simulated for d in devices))


def size_text(size_bytes: int | None) -> str:
    """Write a size in decimal units: `12 kB`, `3.1 MB`; a dash when it is not known."""
    if size_bytes is None:
        return "-"
    size, unit = float(size_bytes), 0
    while size >= 999.5 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if size >= 10 or not unit else f"{size:.1f} {_UNITS[unit]}"


def seconds_text(seconds: float | None) -> str:
    """Write a duration in seconds, with the digits that matter; a dash when it is not known."""
    if seconds is None:
        return "-"
    return f"{seconds:.1f} s" if seconds >= 0.1 else f"{seconds * 1000:.0f} ms"


def _reused(size_bytes: int) -> str:
    return f" (+ {size_text(size_bytes)} reused)" if size_bytes else ""


def _slow(slow: Mapping[str, float]) -> str:
    told = [f"`{name}` took {seconds_text(slow[name])} to compare" for name in sorted(slow)]
    return f"{', '.join(told)}: make it in a cell there, or `--keep` it" if told else ""


def _times(facts: RunFacts) -> str:
    rows = (("wait", facts.wait_s), ("send", facts.send_s), ("run", facts.run_s), ("fetch", facts.fetch_s))
    return " · ".join(f"{name} {seconds_text(value)}" for name, value in rows)


def _names(word: str, names: Sequence[str], limit: int = 8) -> str:
    shown = list(names[:limit]) + ([f"{len(names) - limit} more"] if len(names) > limit else [])
    return f"{word} {', '.join(shown)}" if shown else ""
