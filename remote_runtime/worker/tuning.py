"""What starts a keeper: whom it serves and where, and its times and bounds, which tests shorten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from remote_runtime.wire import limits
from remote_runtime.worker.runlog import Bounds


@dataclass(frozen=True)
class Tuning:
    """Times and bounds of a keeper.

    Args:
        grace_s: From an interrupt to the kill.
        kill_wait_s: From the kill to giving up on a process that does not die.
        ttl_s: Life without gateway and client, until `Renew` says another.
        tick_s: How often memory, lease and logs are looked after.
        stall_s: How long a client may leave its replies unread before it is dropped.
        stranded_s: Life without a user process and without hope of one.
        frozen_s: Between two ticks: after more it was stopped or paused, and that time does not count.
        started_s: How long a run's first event waits for company, so that a quick run costs its client one message.
        output_bytes: Stream text kept per run.
        keep_bytes: Memory for all logs.
    """

    grace_s: float = limits.INTERRUPT_GRACE_S
    kill_wait_s: float = 5.0
    ttl_s: float = limits.LEASE_TTL_S
    tick_s: float = 0.25
    stall_s: float = 30.0
    stranded_s: float = 30.0
    frozen_s: float = 5.0
    started_s: float = 0.002
    output_bytes: int = limits.OUTPUT_LIMIT_BYTES
    keep_bytes: int = limits.LOG_KEEP_BYTES

    @property
    def bounds(self) -> Bounds:
        """What the run logs need of it."""
        return Bounds(self.output_bytes, self.keep_bytes)


@dataclass(frozen=True)
class Order:
    """The zygote's order to a keeper.

    Args:
        worker_id: Chosen by the engine.
        socket: Path where it shall listen.
        secret: What the gateway shows.
        directory: Where the user process starts.
        log: Path of its log file.
        tuning: Times and bounds.
    """

    worker_id: str
    socket: str
    secret: str = field(repr=False)
    directory: str = ""
    log: str = ""
    tuning: Tuning = Tuning()


def order(message: Mapping[str, Any]) -> Order:
    """Read an order from the zygote's packet.

    Raises:
        ValueError: Something that must be there is missing, or is of another kind.
    """
    try:
        tuning = Tuning(**message.get("tuning", {}))
        texts = {name: str(message[name]) for name in ("worker_id", "socket", "secret", "directory", "log")}
    except (KeyError, TypeError) as error:
        raise ValueError(f"an order for a keeper lacks or garbles {error}") from error
    return Order(**texts, tuning=tuning)
