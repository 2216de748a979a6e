"""The meter of one lease: how many seconds it spent in which phase on which devices, so far. Pure.

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

Use = tuple[str, tuple[str, ...]]
"""A phase, and the devices that were held in it; none while it waits."""


@dataclass
class Meter:
    """What one lease has used.

    Args:
        lease: Its session's id.
        user: Who pays.
        devices: Ids that it holds; none while it waits.
        phase: Where it stands; "" while nothing is known.
        since: The clock up to which `seconds` tells.
        seconds: What was used.
    """

    lease: str
    user: str
    devices: tuple[str, ...] = ()
    phase: str = ""
    since: float = 0.0
    seconds: dict[Use, float] = field(default_factory=dict)

    def enter(self, phase: str, devices: tuple[str, ...], now: float) -> None:
        """Begin a phase; the gateway's clock measures it until the keeper tells."""
        self.seconds = self.totals(now)
        self.phase, self.devices, self.since = phase, devices, now

    def tell(self, info: pb.SessionInfo, now: float) -> bool:
        """Take what the keeper has counted, and return whether the phase is another one."""
        if not (info.HasField("held_s") and info.HasField("busy_s")):
            return False
        before = self.phase
        self._raise(RUNNING, info.busy_s)
        self._raise(IDLE, info.held_s - info.busy_s)
        self.phase = RUNNING if any(run.state == "running" for run in info.runs) else IDLE
        self.since = now
        return before != self.phase

    def _raise(self, phase: str, total_s: float) -> None:
        use = (phase, self.devices)
        self.seconds[use] = max(total_s, self.seconds.get(use, 0.0))

    def known(self, now: float) -> Mapping[Use, float]:
        """Return what is certain: the keeper has not told yet how it divides the time since it last told."""
        return self.seconds if self.phase in (RUNNING, IDLE) else self.totals(now)

    def totals(self, now: float) -> dict[Use, float]:
        """Return everything, the time since the keeper last told in the phase of then: for a lease that is over."""
        if not self.phase:
            return dict(self.seconds)
        use = (self.phase, self.devices)
        return {**self.seconds, use: self.seconds.get(use, 0.0) + max(0.0, now - self.since)}

    def held_s(self, now: float) -> float | None:
        """Return how long the worker was held; None where its keeper has never told."""
        held = [seconds for (phase, _), seconds in self.totals(now).items() if phase in (RUNNING, IDLE)]
        return sum(held) if held else None
