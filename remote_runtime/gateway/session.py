"""One session: its record, its worker, and what its keeper last told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from remote_runtime.engines.base import Device
from remote_runtime.gateway.relay import Peer
from remote_runtime.gateway.rows import SessionRecord
from remote_runtime.pool.scaling import Kind
from remote_runtime.pool.slots import Slot
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.specs import Mount


class Refused(Exception):
    """A worker was not claimed because somebody else on this machine holds a device.

    Args:
        holder: In the worker's words.
    """

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


@dataclass(eq=False)
class Session:
    """One session and the worker that holds it.

    Args:
        record: As it is written down.
        slot: Its worker.
        info: What its keeper last told, None before that or when it does not answer.
        info_at: The clock then.
        release_at: The clock when it will be released; None while nobody counts.
        counted_from: The clock when the counting began.
        ending: Reason and detail once it is being released.
    """

    record: SessionRecord
    slot: Slot
    info: pb.SessionInfo | None = None
    info_at: float = 0.0
    release_at: float | None = None
    counted_from: float = 0.0
    ending: tuple[str, str] | None = None
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def keeper(self) -> Peer:
        """Its keeper, for the gateway."""
        return Peer(self.slot.address, self.slot.spec.secret)

    @property
    def running(self) -> bool:
        """Whether a run is active, as far as is known; a silent keeper counts as busy."""
        return self.info is None or bool(active_runs(self.info))

    def held_s(self, now: float) -> float | None:
        """Return how long its worker has been held; None where the keeper has not told."""
        told = self.info is not None and self.info.HasField("held_s")
        return self.info.held_s + (now - self.info_at) if told else None

    def idle_s(self, now: float) -> float:
        """Return how long no run was active."""
        return self.info.idle_s + (now - self.info_at) if self.info is not None else 0.0


def active_runs(info: pb.SessionInfo) -> list[pb.RunInfo]:
    """Return the runs that have not ended."""
    return [run for run in info.runs if run.state == "running"]


@dataclass(frozen=True)
class Opening:
    """What a new session is made from.

    Args:
        session_id: Chosen by whoever waits for the devices.
        name: What users call it.
        notebook: Whose.
        user: Whose token.
        target: As it was asked for.
        idle_s: Its policy.
        devices: That it holds from now on.
        kind: What its worker must be.
        env: Its variables, the values of secrets among them; they are written down nowhere.
        share_bytes: Of each device's memory, what it means to take; None means all of it.
        places: Where its worker sees mounts and volumes.
    """

    session_id: str
    name: str
    notebook: str
    user: str
    target: str
    idle_s: float
    devices: tuple[Device, ...]
    kind: Kind = Kind()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    share_bytes: int | None = None
    places: tuple[Mount, ...] = ()


def wire_device(device: Device, holder: str = "") -> pb.Device:
    """Return a device as clients see it.

    Args:
        device: As the engine sees it.
        holder: The session that holds it, "" where none does.
    """
    wire = pb.Device(
        id=device.id, model=device.model, simulated=device.simulated, index=device.index,
        state="held" if holder else device.state, holder=holder or device.holder,
    )  # fmt: skip
    if device.memory_bytes is not None:
        wire.memory_bytes = device.memory_bytes
    return wire
