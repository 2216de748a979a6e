"""The books: sessions, places in the queue, runs and what leases use, written into the store as they change.

    begin, end            -> sessions       a claim waits for the first; no worker is claimed that is not written down
    queue, left           -> queue          what an earlier gateway wrote gives a place back to whoever returns
    Meter, beat           -> usage rows
    SessionInfo.runs      -> runs           those that changed

But for `begin` and `queue` nothing waits for a write. A row of usage that could not be written is made up for by
the next, because meters tell totals; the last ones of a lease are tried again at each beat.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace

from remote_runtime.gateway import rows
from remote_runtime.gateway.estimates import History
from remote_runtime.gateway.meter import IDLE, STARTING, WAITING, Meter, Use
from remote_runtime.gateway.rows import Ended, Place, SessionRecord
from remote_runtime.gateway.store import Statement, Store, StoreFailed
from remote_runtime.wire import messages_pb2 as pb

BEAT_S = 30.0
"""Between two rows of a lease that stays in its phase: what a killed gateway may lose of a wait or a start."""

RETURN_S = 120.0
"""How long whoever waited when an earlier gateway ended may take to come back to the place."""


class Books:
    """Keeps the books of one gateway.

    Args:
        store: Where they are; open already.
        clock: Monotonic seconds.

    Attributes:
        history: How long leases lasted.
    """

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store, self._clock = store, clock
        self.history = History()
        self._meters: dict[str, Meter] = {}
        self._runs: dict[str, dict[str, tuple[str, int]]] = {}
        self._places: dict[str, Place] = {}
        self._owed: list[Statement] = []
        self._began_at = self._beat_at = clock()

    @property
    def notice(self) -> str:
        """What the store's user should know of how it was opened."""
        return self._store.notice

    async def check(self) -> str:
        """Return what is wrong with the store, "" when it is whole."""
        try:
            ((found, *_), *_) = await self._store.read("PRAGMA quick_check(1)")
        except StoreFailed as failure:
            return failure.message
        return "" if found == "ok" else found

    # ---- sessions -----------------------------------------------------------------------------------------

    async def begin(self, record: SessionRecord) -> None:
        """Write a session down before its worker is claimed.

        Raises:
            StoreFailed: It is not written down.
        """
        await self._store.write(*rows.session_began(record))

    def never_was(self, session_id: str) -> None:
        """Take back a session that no worker was claimed for."""
        self._store.note(rows.session_never_was(session_id))

    async def living(self) -> list[SessionRecord]:
        """Return the sessions that an earlier gateway has left."""
        return [rows.session_of(row) for row in await self._store.read(rows.LIVING)]

    async def past(self, count: int) -> list[tuple[str, Ended]]:
        """Return the sessions that ended last, oldest first, and learn how long they lasted."""
        found = []
        for session_id, name, target, user, *how in reversed(await self._store.read(rows.PAST, (count,))):
            ended = Ended(*how, user=user)
            self.history.add(name, target, ended.held_s)
            found.append((session_id, ended))
        return found

    def end(self, record: SessionRecord, reason: str, detail: str) -> None:
        """Write a session's end down, with the last of what it used."""
        meter, now = self._meters.pop(record.session_id, None), self._clock()
        self._runs.pop(record.session_id, None)
        held_s = meter.held_s(now) if meter is not None else None
        self.history.add(record.name, record.target, held_s)
        usage = _usage(meter, meter.totals(now)) if meter is not None else []
        self._must([*usage, *rows.session_ended(record.session_id, Ended(reason, detail, held_s))])

    # ---- queue --------------------------------------------------------------------------------------------

    async def places(self) -> int:
        """Read the places that an earlier gateway has left, and return the last number among them."""
        found = [Place(*row) for row in await self._store.read(rows.PLACES)]
        self._places = {place.ticket: place for place in found}
        return max((place.arrived for place in found), default=0)

    def take_up(self, ticket: str, user: str) -> Place | None:
        """Return the place that a ticket stands for, once; None where it is not known, or another user's."""
        place = self._places.get(ticket)
        return self._places.pop(ticket) if place is not None and place.user == user else None

    async def queue(self, place: Place) -> None:
        """Write a place in the queue down.

        Raises:
            StoreFailed: It is not written down.
        """
        await self._store.write(rows.joined_queue(replace(place, since_at=time.time())))

    def left(self, ticket: str) -> None:
        """Note that somebody waits no more."""
        self._store.note(rows.left_queue(ticket))

    # ---- usage --------------------------------------------------------------------------------------------

    async def wait(self, lease: str, user: str, resumed: bool) -> None:
        """Begin to count that somebody waits.

        Args:
            lease: The id of the session to be.
            user: Who waits.
            resumed: Whether an earlier gateway has counted a part of it.

        Raises:
            StoreFailed: That part cannot be read.
        """
        meter = Meter(lease, user)
        if resumed:
            ((waited_s,),) = await self._store.read(rows.WAITED, (lease,))
            meter.seconds[WAITING, ()] = waited_s
        meter.enter(WAITING, (), self._clock())
        self._meters[lease] = meter

    def start(self, lease: str, devices: Iterable[str]) -> None:
        """Count that the devices are there, and their worker is on its way."""
        self._enter(self._meters[lease], STARTING, tuple(devices))

    def back(self, lease: str) -> None:
        """Count that the devices could not be had after all, and it waits again."""
        self._enter(self._meters[lease], WAITING, ())

    def claimed(self, lease: str) -> None:
        """Count that the worker is held; from now on its keeper counts."""
        self._enter(self._meters[lease], IDLE, self._meters[lease].devices)

    def gave_up(self, lease: str) -> None:
        """Close the meter of somebody who got no session."""
        meter = self._meters.pop(lease, None)
        if meter is not None:
            self._must(_usage(meter, meter.totals(self._clock())))

    def adopt(self, lease: str, user: str, devices: Iterable[str]) -> None:
        """Count on where an earlier gateway ended."""
        self._meters[lease] = Meter(lease, user, tuple(devices))

    def _enter(self, meter: Meter, phase: str, devices: tuple[str, ...]) -> None:
        meter.enter(phase, devices, self._clock())
        self._store.note(*_usage(meter, meter.seconds))

    # ---- what keepers tell --------------------------------------------------------------------------------

    def tell(self, lease: str, log: str, info: pb.SessionInfo) -> None:
        """Take what a keeper tells.

        Args:
            lease: The session's id.
            log: The keeper's address.
            info: As told.
        """
        now, meter = self._clock(), self._meters.get(lease)
        statements = self._runs_told(lease, log, info)
        if meter is not None and meter.tell(info, now):
            statements += _usage(meter, meter.known(now))
        if statements:
            self._store.note(*statements)

    def _runs_told(self, lease: str, log: str, info: pb.SessionInfo) -> list[Statement]:
        before, told = self._runs.get(lease, {}), {run.run_id: (run.state, run.event_count) for run in info.runs}
        self._runs[lease] = told
        changed = [rows.run_told(lease, log, run) for run in info.runs if before.get(run.run_id) != told[run.run_id]]
        return changed + [rows.run_forgotten(lease, run_id) for run_id in before if run_id not in told]

    def beat(self) -> None:
        """Write down what every lease has used, if it is time, and what is owed; forget who did not come back."""
        now = self._clock()
        if now - self._beat_at < BEAT_S:
            return
        self._beat_at, owed, self._owed = now, self._owed, []
        if owed:
            self._must(owed)
        self._write_known(now)
        if self._places and now - self._began_at > RETURN_S:
            self._store.note(*map(rows.left_queue, self._places))
            self._places = {}

    def _write_known(self, now: float) -> None:
        known = [s for meter in self._meters.values() for s in _usage(meter, meter.known(now))]
        if known:
            self._store.note(*known)

    def close(self) -> None:
        """Write down all that is known: the gateway ends, and the leases go on."""
        if self._owed:
            self._store.note(*self._owed)
        self._write_known(self._clock())

    def _must(self, statements: Sequence[Statement]) -> None:
        """Write what no later row makes up for; a failure is tried again at the next beat."""
        if not statements:
            return
        loop = asyncio.get_running_loop()

        def check(done: Future[None]) -> None:
            if done.exception() is not None and not loop.is_closed():
                loop.call_soon_threadsafe(self._owed.extend, statements)

        self._store.note(*statements).add_done_callback(check)


def _usage(meter: Meter, totals: Mapping[Use, float]) -> list[Statement]:
    return rows.used(meter.lease, meter.user, totals)
