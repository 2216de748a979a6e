"""The meter of one lease: how many seconds it spent in which phase, so far. Pure.

    waiting -> starting          by the gateway's monotonic clock
    running <-> idle             by the keeper's, which counts on while no gateway runs
    totals -> rows.used -> what is not in the store yet

A meter tells totals and never differences: what a gateway had written before it was killed is not written again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from remote_runtime.wire import messages_pb2 as pb

WAITING, STARTING, RUNNING, IDLE = "waiting", "starting", "running", "idle"


@dataclass
class Meter:
    """What one lease has used.

    Args:
        lease: Its session's id.
        user: Who pays.
        devices: Ids that it holds; none while it waits.
        phase: Where it stands.
        since: The clock up to which `seconds` tells.
        seconds: Phase -> seconds.
    """

    lease: str
    user: str
    devices: tuple[str, ...] = ()
    phase: str = ""
    since: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)

    def enter(self, phase: str, now: float) -> None:
        """Begin a phase that the gateway's clock measures; "" ends the one before."""
        self.seconds = dict(self.totals(now))
        self.phase, self.since = phase, now

    def tell(self, info: pb.SessionInfo, now: float) -> bool:
        """Take what the keeper has counted, and return whether the phase is another one."""
        if not (info.HasField("held_s") and info.HasField("busy_s")):
            return False
        before = self.phase
        self.seconds[RUNNING] = max(info.busy_s, self.seconds.get(RUNNING, 0.0))
        self.seconds[IDLE] = max(info.held_s - info.busy_s, self.seconds.get(IDLE, 0.0))
        self.phase = RUNNING if any(run.state == "running" for run in info.runs) else IDLE
        self.since = now
        return before != self.phase

    def known(self, now: float) -> Mapping[str, float]:
        """Return what is certain: the keeper has not told yet how it divides the time since it last told."""
        return dict(self.seconds) if self.phase in (RUNNING, IDLE) else self.totals(now)

    def totals(self, now: float) -> Mapping[str, float]:
        """Return everything, the time since the keeper last told in the phase of then: for a lease that is over."""
        if not self.phase:
            return dict(self.seconds)
        last_s = self.seconds.get(self.phase, 0.0) + max(0.0, now - self.since)
        return {**self.seconds, self.phase: last_s}

    def held_s(self, now: float) -> float | None:
        """Return how long the worker was held; None where its keeper has never told."""
        totals = self.totals(now)
        return totals[RUNNING] + totals[IDLE] if IDLE in totals and RUNNING in totals else None
