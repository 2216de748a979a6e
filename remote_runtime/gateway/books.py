"""The books: what leases use and which runs there were, written into the store as keepers tell it.

    Waiter, SessionInfo --> Meter --beat, or another phase--> usage rows
    SessionInfo.runs    --> what changed -----------------> runs

Nothing waits for these writes. One that fails is made up for by the next: meters tell totals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from remote_runtime.gateway import rows
from remote_runtime.gateway.meter import STARTING, WAITING, Meter
from remote_runtime.gateway.store import Statement, Store
from remote_runtime.wire import messages_pb2 as pb

BEAT_S = 30.0
"""Between two rows of a lease that stays in its phase: what a killed gateway may lose of a wait or a start."""


class Books:
    """Keeps the books of one gateway.

    Args:
        store: Where they are.
        clock: Monotonic seconds.
    """

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store, self._clock = store, clock
        self._meters: dict[str, Meter] = {}
        self._runs: dict[str, dict[str, tuple[str, int]]] = {}
        self._beat_at = clock()

    async def wait(self, lease: str, user: str, resumed: bool) -> None:
        """Begin to count that somebody waits.

        Args:
            lease: The id of the session to be.
            user: Who waits.
            resumed: Whether an earlier gateway has counted a part of it.
        """
        written = dict(await self._store.read(rows.USED, (lease, ""))) if resumed else {}
        meter = self._meters[lease] = Meter(lease, user, seconds=written)
        meter.enter(WAITING, self._clock())

    def start(self, lease: str, devices: Iterable[str]) -> None:
        """Count that the devices are there, and their worker is on its way."""
        self._over(lease, Meter(lease, self._meters[lease].user, tuple(devices)))
        self._meters[lease].enter(STARTING, self._clock())

    def back(self, lease: str) -> None:
        """Count that the devices could not be had after all, and it waits again."""
        waited = self._meters[lease]
        self._over(lease, Meter(lease, waited.user))
        self._meters[lease].enter(WAITING, self._clock())

    def adopt(self, lease: str, user: str, devices: Iterable[str]) -> None:
        """Count on where an earlier gateway ended; what it wrote is not written again."""
        self._meters[lease] = Meter(lease, user, tuple(devices))

    def _over(self, lease: str, after: Meter) -> None:
        before, self._meters[lease] = self._meters[lease], after
        self._store.note(*_usage(before, before.totals(self._clock())))

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
        self._store.note(*statements)

    def _runs_told(self, lease: str, log: str, info: pb.SessionInfo) -> list[Statement]:
        before, told = self._runs.get(lease, {}), {run.run_id: (run.state, run.event_count) for run in info.runs}
        self._runs[lease] = told
        changed = [rows.run_told(lease, log, run) for run in info.runs if before.get(run.run_id) != told[run.run_id]]
        return changed + [rows.run_forgotten(lease, run_id) for run_id in before if run_id not in told]

    def beat(self) -> None:
        """Write down what every lease has used, if it is time."""
        now = self._clock()
        if now - self._beat_at >= BEAT_S:
            self._beat_at = now
            self._store.note(*(s for meter in self._meters.values() for s in _usage(meter, meter.known(now))))

    def end(self, lease: str) -> tuple[list[Statement], float | None]:
        """Close the books of a lease.

        Returns:
            What is still to be written, and how long its worker was held.
        """
        self._runs.pop(lease, None)
        meter = self._meters.pop(lease, None)
        if meter is None:
            return [], None
        now = self._clock()
        return _usage(meter, meter.totals(now)), meter.held_s(now)

    def close(self) -> None:
        """Write down all that is known: the gateway ends."""
        now = self._clock()
        self._store.note(*(s for meter in self._meters.values() for s in _usage(meter, meter.known(now))))


def _usage(meter: Meter, totals: dict[str, float]) -> list[Statement]:
    return [s for device in meter.devices or ("",) for s in rows.used(meter.lease, meter.user, device, totals)]
