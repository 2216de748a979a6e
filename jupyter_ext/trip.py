"""One run as the notebook follows it: shown while it lasts, its names bound at its end, its receipt written.

    RunStream -> show -> outputs .. end -> arrive -> names bound -> conclude -> receipt, or the exception

A cell in the foreground, a background job and a run attached to later all go through these three.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from jupyter_ext import binding, display, receipt, shortages, tracebacks, worlds
from jupyter_ext.asking import Asker
from jupyter_ext.binding import NOTHING, Results, Wishes
from jupyter_ext.connection import Connection
from jupyter_ext.display import Screen
from jupyter_ext.far import Far
from jupyter_ext.interrupts import Whole
from jupyter_ext.options import Pairs
from jupyter_ext.receipt import RunFacts
from jupyter_ext.status import StatusLine
from kernel_proxy.errors import WarmcellError
from kernel_proxy.handles import Handle
from kernel_proxy.session import RunStream
from remote_runtime.wire import messages_pb2 as pb


@dataclass
class Trip:
    """A run, and what the notebook wants of it.

    Args:
        connection: The kernel's.
        far: The session it runs in.
        status: The cell's status line.
        facts: What is known of it so far.
        wishes: How the notebook wants its names.
        in_cell: Whether its outputs are a cell's; an expression returns its value instead.
        has_receipt: Whether a receipt is shown.
        memory: Number of the session's memory when the run was sent; None for one that was sent elsewhere.
        stamp: The version that it gave to what it sent; 0 for one that was sent elsewhere.
        started_s: When the cell started, on `time.perf_counter`.
    """

    connection: Connection
    far: Far
    status: StatusLine
    facts: RunFacts
    wishes: Wishes = field(default_factory=Wishes)
    in_cell: bool = True
    has_receipt: bool = True
    memory: int | None = None
    stamp: int = 0
    started_s: float = field(default_factory=time.perf_counter)

    def lend(self, env: Pairs, secrets: Sequence[str]) -> dict[str, str]:
        """Have the run's secrets ready at the worker, and return the variables that travel with it.

        Raises:
            NotFound: There is no such secret.
        """
        connection, session = self.connection, self.far.session
        variables, names = worlds.lent(connection.defaults.wishes, session.given, env, secrets)
        if names:
            connection.runtime(self.status.say).lend(session.session_id, self.facts.run_id, names)
        return variables

    def interrupt(self, kill: bool) -> None:
        """Interrupt the run, or kill its process. Safe to call from a signal handler."""
        self.far.session.interrupt(self.facts.run_id, kill=kill)

    def take_back(self) -> None:
        """Note that the run never began, so that what was sent with it is not there."""
        if self.stamp:
            self.far.mirror.refused(self.stamp, self.facts.sent)
            self.stamp = 0


def facts_of(far: Far, run_id: str) -> RunFacts:
    """Return what is known of a run before it starts."""
    devices = far.session.devices
    return RunFacts(
        run_id=run_id,
        session=far.session.name,
        target=far.session.target,
        devices=[device.model or device.id for device in devices],
        simulated=any(device.simulated for device in devices),
    )


def follow(connection: Connection, far: Far, run_id: str, is_shown: bool = True) -> Any:
    """Join a run that was started elsewhere: replay it once, in order, go on with it, and bind its names.

    An interrupt ends the watching and not the run, which may be another notebook's.

    Args:
        connection: The kernel's.
        far: The session it runs in.
        run_id: The run.
        is_shown: Whether its outputs are shown.

    Raises:
        NotFound: The session no longer has the run.
        BaseException: What the run raised.
    """
    with StatusLine(connection.shell, connection.traits.status_line) as status:
        status.at(far.where)
        status.say(f"following run {run_id}")
        trip = Trip(connection, far, status, facts_of(far, run_id), has_receipt=connection.traits.receipt)
        stream = far.session.follow(run_id)
        shown = show(trip, stream) if is_shown else _skim(stream)
        return conclude(trip, stream, arrive(trip, stream, shown))


def show(trip: Trip, stream: RunStream) -> display.Rendered | None:
    """Show a run's events until its end.

    Returns:
        What stands for the last expression's value among the outputs.

    Raises:
        WarmcellError: The run was refused.
    """
    connection, far = trip.connection, trip.far
    connection.late.expect(stream.run_id)
    asker = Asker(far.session, stream, connection.shell, is_ours=trip.memory is not None)
    screen = Screen(connection.shell, trip.status, trip.in_cell, partial(connection.comms.take, far), asker.ask)
    try:
        for event in stream:
            screen.show(event)
    except Exception:
        # An output that cannot be shown (a closed stdout) ends the cell here, so the run shall not go on unseen.
        trip.interrupt(kill=False)
        if stream.over and stream.end is None:  # refused
            trip.take_back()
        raise
    return screen.result


def arrive(trip: Trip, stream: RunStream, shown: display.Rendered | None = None) -> Results:
    """Bind what a run left behind.

    Args:
        trip: The run.
        stream: Its events, all read.
        shown: What stands for its result until the value is there.
    """
    began_s, end = time.perf_counter(), end_of(stream)
    if trip.memory is not None:
        trip.far.note_end(end, trip.memory)
    trip.connection.late.settle(stream.run_id, end)
    if end.problem.code:
        trip.connection.comms.prune()
    namespace = trip.connection.namespace
    with Whole():
        results = binding.read(end, stream.bundle, namespace, trip.far, trip.wishes, trip.stamp != 0)
        binding.bind(results, namespace)
        _mirror(trip, end, results)
    if shown is not None and results.result is not NOTHING:
        display.settle(trip.connection.shell, shown, results.result)
    _note(trip.facts, end, results)
    trip.facts.sent_bytes, trip.facts.send_s = stream.sent_bytes, (trip.facts.send_s or 0.0) + stream.send_s
    trip.facts.reused_bytes = stream.spared_bytes
    trip.facts.received_bytes = stream.bundle.size_bytes if stream.bundle is not None else 0
    trip.facts.fetch_s = end.pack_s + time.perf_counter() - began_s
    return results


def conclude(trip: Trip, stream: RunStream, results: Results) -> Any:
    """Write the receipt and return the result, or raise what the run raised.

    Raises:
        BaseException: The user's own exception, or one of ours.
    """
    end, connection = end_of(stream), trip.connection
    if trip.facts.total_s is None:
        trip.facts.total_s = time.perf_counter() - trip.started_s
    mime, metadata = receipt.mime(trip.facts)
    trip.status.close(mime if trip.has_receipt else None, metadata)
    for text in end.notices:
        display.notice(connection.shell, text)
    for name, why in results.left.items():
        hint = f"`%gpu get {name}` takes what is there"
        display.notice(connection.shell, f"`{name}` changed in the session and not here, because {why}: {hint}")
    for name, problem in results.problems.items():
        hint = f"`%gpu get {name}` tries again" if name else "`%gpu vars` lists what is there"
        display.notice(connection.shell, f"{problem}; it stays remote: {hint}")
    if end.status != "ok":
        connection.last_problem = end.problem
        holders = shortages.holders(end.problem, connection.running)
        raise tracebacks.error_of(end, results.exception, trip.in_cell, holders)
    return None if results.result is NOTHING else results.result


def end_of(stream: RunStream) -> pb.End:
    """Return a run's end.

    Raises:
        WarmcellError: It has none yet.
    """
    if stream.end is None:
        raise WarmcellError(f"run {stream.run_id} has not ended", "wait for it first")
    return stream.end


def _mirror(trip: Trip, end: pb.End, results: Results) -> None:
    """Note what both ends hold now."""
    mirror = trip.far.mirror
    if not end.landed:
        trip.take_back()
        return
    held = {name for name, value in results.values.items() if type(value) is Handle}
    away = {source for source in trip.wishes.renames if source not in results.values}
    if trip.stamp:
        turn = 0 if results.problems else end.turn  # copies were fetched then, and nothing is one object at both ends
        mirror.landed(turn, end.versions, {*results.left, *results.problems, *away})
    else:
        bound = set(results.values).difference(held)
        mirror.copied({name: version for name, version in end.versions.items() if name in bound})
    mirror.hold(held)
    mirror.forget((*results.deleted, *away))


def _note(facts: RunFacts, end: pb.End, results: Results) -> None:
    held = {
        h.name: (h.size_bytes if h.HasField("size_bytes") else None)
        for h in end.held
        if h.name != end.result_name
    }
    facts.status, facts.run_s = end.status, end.run_s
    facts.kept = held
    facts.bound = sorted(name for name in results.values if name not in held)
    facts.deleted = sorted(results.deleted)
    facts.updated = sorted(results.updated)
    facts.left, facts.slow = dict(results.left), dict(end.slow) | facts.slow
    facts.bound = sorted(set(facts.bound).difference(results.updated))
    facts.problems = sorted(name for name in results.problems if name)


def _skim(stream: RunStream) -> None:
    for _ in stream:
        pass
