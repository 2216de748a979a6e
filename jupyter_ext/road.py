"""The road of a cell, top to bottom.

    line, cell -> request -> plan -> session -> capture -> run -> events -> outputs, names, receipt

`run_cell` tells it in order; each call is a stage, and each stage has a file of its own. A run that was started in
the background, or before the kernel was restarted, joins the road at `trip.follow`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from typing import Any

from jupyter_ext import absent, display, images, modules, names, reports, tracebacks, worlds
from jupyter_ext.binding import Wishes
from jupyter_ext.cells import Cell
from jupyter_ext.connection import Connection
from jupyter_ext.far import Far
from jupyter_ext.interrupts import Presses
from jupyter_ext.jobs import Job
from jupyter_ext.names import CellPlan
from jupyter_ext.receipt import size_text
from jupyter_ext.reports import Report
from jupyter_ext.status import StatusLine
from jupyter_ext.trip import Trip, arrive, conclude, end_of, facts_of, show
from kernel_proxy.errors import CaptureError
from kernel_proxy.gather import Capture, Gates, Wanted, gather, survey
from kernel_proxy.handles import Handle
from kernel_proxy.session import RunStream
from remote_runtime.wire import messages_pb2 as pb


def run_cell(connection: Connection, cell: Cell) -> Any:
    """Run a cell on the runtime: the whole road.

    Returns:
        None for a cell, the value for an expression, a `Job` in the background, a report for
            `--dry-run` and `--help`.

    Raises:
        WarmcellError: It was refused before it ran, or the runtime failed it.
        BaseException: What the cell itself raised.
    """
    if cell.request.help:
        return reports.manual()
    plan = plan_of(connection, cell)
    if cell.request.dry_run:
        return rehearse(connection, cell, plan)
    with images.in_image(connection, cell.request.image), status_line(connection, cell.request.quiet) as status:
        trip = board(connection, cell, plan, status)
        if cell.request.background:
            return Job.depart(trip, send(trip, cell, plan), cell.request.background_name)
        with Presses(trip.interrupt):
            stream = send(trip, cell, plan)
            shown = show(trip, stream)
            if end_of(stream).problem.code == "mirror":
                stream = send_again(trip, cell, plan)
                shown = show(trip, stream)
        results = arrive(trip, stream, shown)
        value = conclude(trip, stream, results)
        return None if cell.in_cell else value


# -- before anything runs ----------------------------------------------------------------------------------


def plan_of(connection: Connection, cell: Cell) -> CellPlan:
    """Plan a cell's names; show its warnings, each text once.

    Raises:
        CaptureError: The cell can never run remotely.
        RemoteError: The cell does not compile; shown as the SyntaxError it is.
    """
    try:
        plan = names.plan(cell.source, connection.namespace)
    except SyntaxError as error:
        raise tracebacks.syntax_error(connection.shell, error, cell.source, cell.in_cell) from None
    if plan.refusals:
        what, _, hint = plan.refusals[0].partition("\nhint: ")
        raise CaptureError(what, hint)
    _warn_once(connection, plan.warnings)
    return plan


def rehearse(connection: Connection, cell: Cell, plan: CellPlan) -> Report:
    """Show what would travel; nothing is sent, and no runtime is started."""
    far = connection.opened(cell.request.target or "")
    key = far.key if far is not None else None
    mirror = far.mirror if far is not None else None
    wanted = _wanted(cell, plan)
    rows = survey(wanted, connection.namespace, session_id=key, gates=_gates(connection), mirror=mirror)
    sources = modules.foreseen(connection, far, plan, rows)
    return reports.dry_run(rows, plan, connection.target(cell.request.target or ""), sources)


# -- on the way there --------------------------------------------------------------------------------------


def status_line(connection: Connection, is_quiet: bool) -> StatusLine:
    """Return the cell's status line, not shown yet."""
    return StatusLine(connection.shell, connection.traits.status_line and not is_quiet)


def board(connection: Connection, cell: Cell, plan: CellPlan, status: StatusLine) -> Trip:
    """Open the session, on first use with the runtime; say what was lost since the last cell, and which files lack."""
    started_s = time.perf_counter()
    status.say("connecting")
    far = connection.session(cell.request.target or "", status.say, cell.request.no_wait)
    status.at(far.where)
    far.let_go()
    _show_pending(connection, far)
    absent.warn(connection, far, cell.source)
    _warn_once(connection, worlds.warnings(cell.request.env))
    facts = facts_of(far, uuid.uuid4().hex[:12])
    facts.wait_s = time.perf_counter() - started_s
    return Trip(
        connection,
        far,
        status,
        facts,
        _wishes(cell, plan),
        cell.in_cell,
        has_receipt=connection.traits.receipt and cell.in_cell and not cell.request.quiet,
        memory=far.memory,
        started_s=started_s,
    )


def pack_up(trip: Trip, cell: Cell, plan: CellPlan) -> Capture:
    """Gather what the session does not hold yet into one bundle.

    Raises:
        CaptureError: A value cannot travel.
        SessionLost: A handle's memory is gone.
    """
    began_s, connection, wanted = time.perf_counter(), trip.connection, _wanted(cell, plan)
    connection.require_held(_local_names(wanted))
    far = trip.far
    capture = gather(
        wanted, connection.namespace, session_id=far.key, gates=_gates(connection), mirror=far.mirror
    )
    for notice in capture.notices:
        display.notice(connection.shell, notice)
    size_bytes = capture.bundle.size_bytes if capture.bundle is not None else 0
    trip.status.say(f"sending {size_text(size_bytes)}" if size_bytes else "running")
    trip.facts.sent, trip.facts.reused = capture.sent, sorted(capture.reused)
    trip.facts.slow = dict(capture.delta.slow) if capture.delta is not None else {}
    trip.facts.send_s = time.perf_counter() - began_s
    return capture


def run_of(trip: Trip, cell: Cell, plan: CellPlan, capture: Capture) -> pb.Run:
    """Write the run as the worker takes it."""
    request, traits, namespace = cell.request, trip.connection.traits, trip.connection.namespace
    returns = pb.Returns(
        none=request.no_out,
        force=sorted({source for _, source in request.outputs}),
        keep=sorted(request.keep),
        name_limit_bytes=traits.name_limit_bytes,
        total_limit_bytes=traits.total_limit_bytes,
        data_only=trip.far.session.takes_data_only,
    )
    captured = plan.reads.union(plan.weak_reads, (there for there, _ in request.inputs), capture.considered)
    touched = (plan.binds | plan.deletes) - captured
    own = [n for n in touched if n in namespace and type(namespace[n]) is not Handle]
    return pb.Run(
        run_id=trip.facts.run_id,
        source=cell.source,
        count=trip.connection.shell.execution_count,
        stash=sorted(own),
        returns=returns,
        timeout_s=request.timeout_s or 0.0,
        background=request.background,
        keep_s=traits.keep_s,
        expression=not cell.in_cell,
        fresh=request.fresh,
    )


def send(trip: Trip, cell: Cell, plan: CellPlan) -> RunStream:
    """Send the run with what it needs, and note what the session holds from now on.

    Raises:
        CaptureError: A value cannot travel.
        SessionLost: The session, or a handle's memory, is gone.
    """
    for job in trip.connection.jobs.values():
        job.settle_early()
    with trip.far.mirror.loading(trip.far.session.ramp):
        return _send(trip, cell, plan)


def _send(trip: Trip, cell: Cell, plan: CellPlan) -> RunStream:
    aliased = trip.far.mirror.aliased(plan.binds & plan.reads)
    capture = pack_up(trip, cell, plan)
    run, mirror = run_of(trip, cell, plan, capture), trip.far.mirror
    with capture.kept_if_sent():
        run.sources = modules.bring(trip, plan, capture)
    run.env.update(trip.lend(cell.request.env, cell.request.secrets))
    run.sync.CopyFrom(mirror.sync(capture.delta, [there for there, _ in cell.request.inputs]))
    run.sync.aliased.extend(aliased)
    stream = trip.far.session.run(run, capture.bundle)
    mirror.sent(run.sync, capture.delta, capture.packed)
    trip.stamp = run.sync.stamp
    return stream


def send_again(trip: Trip, cell: Cell, plan: CellPlan) -> RunStream:
    """Send a run once more, after the session no longer held what it was taken to hold."""
    for job in trip.connection.jobs.values():
        job.settle_early()
    mirror = trip.far.mirror
    mirror.refused(trip.stamp, mirror.names)
    trip.facts.run_id = uuid.uuid4().hex[:12]
    stream = send(trip, cell, plan)
    again = ", ".join(f"`{name}`" for name in trip.facts.sent) or "nothing of it"
    display.notice(trip.connection.shell, f"the session no longer held what was sent before: {again} sent again")
    return stream


# -- small parts -------------------------------------------------------------------------------------------


def _warn_once(connection: Connection, texts: Iterable[str]) -> None:
    for text in texts:
        if text not in connection.warned:
            connection.warned.add(text)
            display.notice(connection.shell, text)


def _wanted(cell: Cell, plan: CellPlan) -> Wanted:
    request = cell.request
    return Wanted(plan.reads, plan.weak_reads, request.inputs, request.only, request.fresh)


def _local_names(wanted: Wanted) -> set[str]:
    inputs = {here for _, here in wanted.inputs}
    return inputs if wanted.only else inputs | wanted.reads


def _gates(connection: Connection) -> Gates:
    return Gates(size_gate_bytes=connection.traits.size_gate_bytes)


def _wishes(cell: Cell, plan: CellPlan) -> Wishes:
    renames: dict[str, tuple[str, ...]] = {}
    for here, there in cell.request.outputs:
        renames[there] = (*renames.get(there, ()), here)
    return Wishes(renames, plan.binds)


def _show_pending(connection: Connection, far: Far) -> None:
    lost = connection.newly_lost()
    if lost:
        gone = ", ".join(f"`{name}`" for name in lost)
        display.notice(
            connection.shell,
            f"the session's memory was lost, and with it {gone}: rerun the cells that make them",
        )
    forgotten = far.forgotten()
    if forgotten:
        names = ", ".join(f"`{name}`" for name in forgotten)
        display.notice(connection.shell, f"the session's memory was lost: {names} are sent again where cells need them")
    while connection.pending:
        display.notice(connection.shell, connection.pending.popleft())
