"""What `%gpu` commands answer: small tables that show themselves as HTML and as text, and hold their rows for programs.

    wire messages -> Report(title, columns, rows, notes) -> text/html, text/plain

A reading that is missing is a dash; a simulated device says so wherever it stands.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from jupyter_ext import grammar, shortages
from jupyter_ext.names import CellPlan
from jupyter_ext.receipt import devices_text, size_text
from jupyter_ext.status import duration_text
from kernel_proxy.gather import Row as GatherRow
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import versions
from remote_runtime.wire.targets import format_size

Row = tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """A table with a title and notes.

    Args:
        title: One line above it.
        columns: Column heads; none for a text without a table.
        rows: Cells as text.
        notes: Lines below it.
    """

    title: str
    columns: Row = ()
    rows: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        lines = [self.title, *_text_table(self.columns, self.rows), *self.notes]
        return "\n".join(line for line in lines if line)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._html()}

    def _html(self) -> str:
        head = "".join(f'<th style="text-align:left">{escape(c)}</th>' for c in self.columns)
        body = "".join(f"<tr>{_html_cells(row)}</tr>" for row in self.rows)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if self.rows else ""
        notes = "".join(f"<div>{escape(note)}</div>" for note in self.notes)
        return f"<div><b>{escape(self.title)}</b></div>{table}{notes}"


def _html_cells(row: Row) -> str:
    return "".join(f'<td style="text-align:left;white-space:pre-wrap">{escape(cell)}</td>' for cell in row)


def _text_table(columns: Row, rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    table = [columns, *rows]
    widths = [max(len(row[at]) for row in table) for at in range(len(columns))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in table]


def manual() -> Report:
    """Show the manual of the magics."""
    return Report(grammar.help_text())


def not_running(where: str, default: str) -> Report:
    """Say that no runtime runs, and that asking did not start one."""
    return Report(
        f"no runtime is running ({where})", notes=(f"default target {default}; the first cell starts it",)
    )


def status(info: pb.RuntimeInfo, default: str, own: Iterable[str]) -> Report:
    """Show the runtime: devices, sessions, and what a cell would use.

    Args:
        info: The runtime's own description.
        default: Target of a cell that names none.
        own: Ids of this notebook's sessions.
    """
    mine = set(own)
    rows = [("device", _device(d), d.state or "-", d.holder or "-", _price(d)) for d in info.devices]
    rows += [
        (
            "session",
            s.name + (" (this notebook)" if s.session_id in mine else ""),
            s.state or "-",
            _ids(s),
            "-",
        )
        for s in info.sessions
    ]
    notes = (
        f"default target {default}",
        *_default_share(info),
        *((f"workers start by {info.start}: {info.start_why}",) if info.start else ()),
        f"{_counted(sum(len(s.runs) for s in info.sessions), 'run')} remembered, see `%gpu ps`",
    )
    title = f"runtime {info.http or info.grpc} · engine {info.engine} · warmcell {info.versions.warmcell}"
    return Report(title, ("what", "name", "state", "held by / holds", "price/h"), tuple(rows), notes)


def _default_share(info: pb.RuntimeInfo) -> Row:
    if not info.HasField("lease_memory_bytes"):
        return ()
    return (f"a session that names no share takes {format_size(info.lease_memory_bytes)} of a device",)


def runs(info: pb.RuntimeInfo) -> Report:
    """Show every run the runtime remembers, newest last."""
    found = sorted(((run, s) for s in info.sessions for run in s.runs), key=lambda pair: -pair[0].age_s)
    rows = tuple(
        (
            run.run_id,
            run.state,
            session.name,
            _ids(session),
            f"{duration_text(run.age_s)} ago" if run.started_at else "-",
            duration_text(run.elapsed_s),
            "yes" if run.background else "",
            run.label,
        )
        for run, session in found
    )
    columns = ("run", "state", "session", "device", "started", "took", "background", "cell")
    return Report(_counted(len(rows), "run"), columns, rows)


def variables(table: pb.VarTable, session: str, newer: Callable[[str, int], str]) -> Report:
    """Show the names a session holds.

    Args:
        table: The names, and the memory of the session's devices.
        session: The session's name.
        newer: Tells where a name is newer, by its version there.
    """
    rows = tuple(
        (
            v.name,
            v.type_name,
            size_text(v.size_bytes if v.HasField("size_bytes") else None),
            _shape(v),
            v.device or "-",
            newer(v.name, v.version),
            v.preview,
        )
        for v in sorted(table.vars, key=lambda v: v.name)
    )
    columns = ("name", "type", "size", "shape", "device", "newer", "preview")
    return Report(f"{len(rows)} names in {session}", columns, rows, shortages.notes(table.devices))


def dry_run(rows: Iterable[GatherRow], plan: CellPlan, target: str, sources: Row = ()) -> Report:
    """Show what a cell would send, and why, with the problems and their fixes."""
    table = tuple(
        (r.name, r.why, r.type_name or "-", size_text(r.size_bytes), r.action, r.problem or "", r.fix or "")
        for r in rows
    )
    sets = (("binds", plan.binds), ("deletes", plan.deletes))
    notes = tuple(f"{word}: {', '.join(sorted(found))}" for word, found in sets if found)
    columns = ("name", "why", "type", "size", "action", "problem", "fix")
    return Report(f"dry run on {target}: nothing was sent", columns, table, (*notes, *sources, *plan.warnings))


def environment(info: pb.EnvironmentInfo, kernel: pb.Versions, only_differing: bool = False) -> Report:
    """Show the worker's Python and packages, those first that differ from the kernel's."""
    here = {name: versions.installed(name) for name in info.packages}
    differs = [n for n in info.packages if here[n] is not None and here[n] != info.packages[n]]
    missing = [n for n in info.packages if here[n] is None]
    same = [n for n in info.packages if n not in set(differs) | set(missing)]
    shown = sorted(differs) + ([] if only_differing else sorted(same)) + sorted(missing)
    rows = [("python", kernel.python, info.versions.python)]
    rows += [(n, here[n] or "-", info.packages[n]) for n in shown]
    notes = (
        f"python {info.executable}",
        f"directory {info.directory}",
        f"devices {devices_text(info.devices)}",
        *shortages.notes(info.memory),
        f"kept of what was sent {size_text(info.cached_bytes)} of at most {size_text(info.cache_bytes)}",
        *([f"local modules of the notebook: {', '.join(info.sources)}"] if info.sources else []),
    )
    return Report(
        f"environment · {len(differs)} packages differ", ("package", "kernel", "worker"), tuple(rows), notes
    )


def removed(reply: pb.Removed, verb: str) -> Report:
    """Say what was removed or freed."""
    freed = reply.freed_bytes if reply.HasField("freed_bytes") else None
    what = ", ".join(reply.names) or "nothing"
    return Report(f"{verb} {what} · {size_text(freed)}", notes=(*_lines(reply.detail), *shortages.notes(reply.devices)))


def secrets(kept: Iterable[pb.SecretInfo]) -> Report:
    """Show the secrets that a runtime keeps, with the names of their variables."""
    rows = tuple((info.name, ", ".join(info.variables), _day(info.created_at)) for info in kept)
    return Report(_counted(len(rows), "secret"), ("secret", "variables", "made"), rows)


def facts(title: str, pairs: Mapping[str, str]) -> Report:
    """Show names beside their values."""
    return Report(title, ("what", "is"), tuple(pairs.items()))


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at)) if at else "-"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _lines(text: str) -> tuple[str, ...]:
    return tuple(text.splitlines())


def _device(device: pb.Device) -> str:
    memory = f" {size_text(device.memory_bytes)}" if device.HasField("memory_bytes") else ""
    return f"{device.model or device.id}{memory}{' (simulated)' if device.simulated else ''}"


def _ids(session: pb.SessionInfo) -> str:
    return (", ".join(session.device_ids) or "-") + part_text(session)


def part_text(session: pb.SessionInfo) -> str:
    """Write how much of its devices a session means to take, and what it takes, as far as either is known."""
    share = [f"{format_size(session.device_memory_bytes)} of it"] if session.HasField("device_memory_bytes") else []
    used = [f"uses {size_text(session.device_used_bytes)}"] if session.HasField("device_used_bytes") else []
    return f" ({', '.join([*share, *used])})" if share or used else ""


def _price(device: pb.Device) -> str:
    return f"{device.price_per_hour:.2f}" if device.HasField("price_per_hour") else "-"


def _shape(held: pb.Held) -> str:
    return f"{tuple(held.shape)} {held.dtype}".strip() if held.has_shape else "-"
