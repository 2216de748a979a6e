r"""Runs in the background: a `Job` to ask, a display that is updated in place, and a transcript.

    RunStream -> reader thread -> Transcript -> the job's own display (at most twice a second)
                      \\- end -> Job.result() -> names bound in the caller's cell

A thread that prints would print into whatever cell runs at that moment, so a job shows itself in its own display only.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
import time
import uuid
from collections.abc import Generator
from dataclasses import replace
from html import escape
from typing import Any

from jupyter_ext import display, shortages
from jupyter_ext.binding import Results
from jupyter_ext.status import UPDATE_S, StatusLine, duration_text
from jupyter_ext.trip import Trip, arrive, conclude, follow
from kernel_proxy import waiting
from kernel_proxy.errors import RunTimeout, WarmcellError
from kernel_proxy.session import RunStream
from remote_runtime.wire import messages_pb2 as pb

TAIL_LINES = 20

KEPT_JOBS = 50
"""Ended jobs that `%gpu wait` and `%gpu logs` still find here; older ones are asked of the runtime."""


class Transcript:
    """What a run has put out, as text."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def feed(self, event: pb.Event) -> None:
        """Take one event."""
        kind = event.WhichOneof("body")
        if kind == "stream":
            self._parts.append(event.stream.text)
        elif kind == "clear" and not event.clear.wait:
            self._parts.clear()
        elif kind in ("display", "result"):
            data = json.loads(getattr(event, kind).mime.data_json or "{}")
            self._parts.append(f"{data.get('text/plain', '<shown on the worker>')}\n")
        elif kind == "end":
            problem = event.end.problem
            self._parts += [f"{line}\n" for line in (*problem.traceback, *shortages.lines(problem, {}))]

    def text(self) -> str:
        """Return all of it, with what a carriage return wrote over left out."""
        lines = "".join(self._parts).replace("\r\n", "\n").split("\n")
        return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)

    def tail(self, line_count: int = TAIL_LINES) -> str:
        """Return the last lines."""
        return "\n".join(self.text().rstrip("\n").split("\n")[-line_count:])


class Job:
    """A run in the background; it goes on when the cell, or the kernel, is gone.

    Its results are not bound by themselves, so that no name changes while another cell runs: `result()`, `await job`,
    `%gpu wait` and `%gpu attach` bind them.

    Args:
        trip: The run.
        stream: Its events.
        name: The name it was given, if any.
    """

    def __init__(self, trip: Trip, stream: RunStream, name: str | None) -> None:
        self.run_id, self.name = stream.run_id, name
        self._trip, self._stream = trip, stream
        self._transcript = Transcript()
        self._ended = threading.Event()
        self._failure: BaseException | None = None
        self._results: Results | None = None
        self._publisher = trip.connection.shell.display_pub
        self._display_id = uuid.uuid4().hex
        self._began_s = time.monotonic()
        self._shown_s = 0.0

    @classmethod
    def depart(cls, trip: Trip, stream: RunStream, name: str | None = None) -> Job:
        """Make a job of a run that was just sent, and start to read its events."""
        job = cls(trip, stream, name)
        jobs = trip.connection.jobs
        for run_id in [run_id for run_id, other in jobs.items() if other.status != "running"][:-KEPT_JOBS]:
            del jobs[run_id]
        jobs[job.run_id] = job
        if name:
            trip.connection.namespace[name] = job
        trip.status.close()
        job._show(is_first=True)
        trip.connection.late.expect(job.run_id, is_shown=False)
        context = contextvars.copy_context()
        threading.Thread(
            target=context.run, args=(job._read,), name=f"warmcell-{job.run_id}", daemon=True
        ).start()
        return job

    @property
    def status(self) -> str:
        """`running`, or how it ended: ok, error, interrupted, died, timeout, cancelled."""
        if self._stream.end is not None:
            return self._stream.end.status
        return "refused" if self._failure is not None else "running"

    def result(self, timeout_s: float | None = None) -> Any:
        """Wait for the end, bind the run's names, and return the value of its last expression.

        Args:
            timeout_s: Longest wait in seconds; None waits as long as it takes.

        Raises:
            RunTimeout: It has not ended by then; it goes on.
            BaseException: What the run raised.
        """
        if not waiting.is_set(self._ended, timeout_s):
            raise RunTimeout(
                f"run {self.run_id} has not ended after {timeout_s:g} s", "it goes on; ask again later"
            )
        if self._failure is not None:
            raise self._failure
        here = replace(self._trip, status=StatusLine(self._trip.connection.shell, enabled=False))
        if self._results is None:
            self._results = arrive(here, self._stream)
            return conclude(here, self._stream, self._results)
        return conclude(replace(here, has_receipt=False), self._stream, self._results)

    def cancel(self, kill: bool = False) -> None:
        """Stop the run.

        Args:
            kill: Whether to kill its process at once; the session's variables are then lost.
        """
        self._trip.far.session.interrupt(self.run_id, kill=kill, why="cancelled")

    def settle_early(self) -> None:
        """Note that the run never began, where that is known, though nobody has asked for its result yet."""
        end = self._stream.end
        if self._stream.over and (end is None or not end.landed):
            self._trip.take_back()

    def logs(self) -> str:
        """Return what it has put out so far, as text."""
        return self._transcript.text()

    def attach(self) -> None:
        """Replay its outputs in this cell, follow it to its end, and bind its names."""
        follow(self._trip.connection, self._trip.far, self.run_id)

    def __await__(self) -> Generator[Any, None, Any]:
        return self._awaited().__await__()

    async def _awaited(self) -> Any:
        await asyncio.to_thread(self._ended.wait)
        return self.result()

    def __repr__(self) -> str:
        name = f" {self.name}" if self.name else ""
        return f"<gpu job{name} {self.run_id}: {self.status}>"

    def _repr_html_(self) -> str:
        ways = "<code>.result()</code> waits and binds its names, <code>.attach()</code> shows its outputs here"
        return f"<div><b>{escape(repr(self))}</b><br>{ways}, <code>.cancel()</code> stops it</div>"

    def _read(self) -> None:
        try:
            for event in self._stream:
                self._transcript.feed(event)
                if time.monotonic() - self._shown_s >= UPDATE_S:
                    self._show()
        except WarmcellError as error:
            self._failure = error
        finally:
            self._trip.facts.total_s = time.perf_counter() - self._trip.started_s
            self._ended.set()
            self._show()

    def _show(self, is_first: bool = False) -> None:
        self._shown_s = time.monotonic()
        mark = {"running": "◐", "ok": "✓"}.get(self.status, "✗")
        took = duration_text(time.monotonic() - self._began_s)
        head = f"{mark} {self._trip.far.where} · run {self.run_id} · {self.status} {took}"
        tail = self._transcript.tail()
        html = f'<div style="opacity:.75;font-size:90%">{escape(head)}</div>' + (
            f"<pre>{escape(tail)}</pre>" if tail else ""
        )
        data = {"text/plain": f"{head}\n{tail}".rstrip(), "text/html": html}
        facts = {display.METADATA_KEY: {"run_id": self.run_id, "status": self.status}}
        self._publisher.publish(data, facts, transient={"display_id": self._display_id}, update=not is_first)
