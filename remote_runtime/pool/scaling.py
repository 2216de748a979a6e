"""Scaling: how many workers of a kind are kept warm, and which are too many or may sleep. Pure.

    kind, who waits and holds, when somebody asked last -> spare -> launch, pause or end

The runtime's own kind has its minimum always. Every other kind is kept warm while it is used and for a while after,
so that the second cell in an image waits no more than the first in none.
"""

from __future__ import annotations

from dataclasses import dataclass

from remote_runtime.wire.specs import OWN, Environment


@dataclass(frozen=True)
class Kind:
    """What makes workers interchangeable.

    Args:
        environment: What they are made with.
        devices: Ids of the devices that they were started with; none where they take them when claimed.
        shared: Whether others may be started with those devices too.
    """

    environment: Environment = OWN
    devices: tuple[str, ...] = ()
    shared: bool = False

    def excludes(self, other: Kind) -> bool:
        """Tell whether a worker of this kind and one of another cannot be there at the same time."""
        return not set(self.devices).isdisjoint(other.devices) and not (self.shared and other.shared)


@dataclass(frozen=True)
class Policy:
    """How many workers are kept, and how long.

    Args:
        min_warm: Of the runtime's own kind, always.
        buffer_warm: Of another kind, while it is used.
        scaledown_s: How long a kind counts as used after somebody asked for it, or had it, last.
        pause_after_s: How long a warm worker waits for somebody before it is paused, where the engine can.
    """

    min_warm: int = 1
    buffer_warm: int = 1
    scaledown_s: float = 300.0
    pause_after_s: float = 300.0


@dataclass(frozen=True)
class PoolSettings:
    """How many workers are kept.

    Args:
        policy: How many of each kind.
        max_workers: Most workers alive at once; whoever waits for one is served first.
        refill_delay_s: From a claim to its replacement, which would compete with the first run for the
            processor.
        retry_s: Wait after a failed start, doubled with each failure in a row.
        stop_grace_s: Between asking a worker to end and killing it.
    """

    policy: Policy = Policy()
    max_workers: int = 32
    refill_delay_s: float = 0.05
    retry_s: float = 0.5
    stop_grace_s: float = 2.0


def spare(kind: Kind, leased_count: int, unused_s: float | None, policy: Policy) -> int:
    """Return how many workers of a kind should wait for somebody.

    Args:
        kind: Which.
        leased_count: How many are held.
        unused_s: Since somebody asked last; None where nobody ever did.
        policy: How many are kept.
    """
    if kind == Kind():
        return policy.min_warm
    if leased_count and kind.excludes(kind):  # the one that is held has the device
        return 0
    used = leased_count > 0 or (unused_s is not None and unused_s < policy.scaledown_s)
    return policy.buffer_warm if used else 0
