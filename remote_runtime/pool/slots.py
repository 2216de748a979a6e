"""Slots: the pool's record of a worker, whose life is a table.

cold -> starting -> warm -> leased -> stopping -> gone        (poisoned: it must not be handed out any more)
                     warm -> paused -> leased                 (paused: it sleeps until somebody asks)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from remote_runtime.engines.base import WorkerSpec
from remote_runtime.pool.scaling import Kind


class State(str, Enum):
    """Where a slot stands."""

    COLD = "cold"
    STARTING = "starting"
    WARM = "warm"
    PAUSED = "paused"
    LEASED = "leased"
    POISONED = "poisoned"
    STOPPING = "stopping"
    GONE = "gone"


class Step(str, Enum):
    """What can happen to a slot."""

    LAUNCH = "launch"
    READY = "ready"
    PAUSE = "pause"
    CLAIM = "claim"
    GIVE_BACK = "give back"
    FAIL = "fail"
    STOP = "stop"
    EXIT = "exit"


_ALIVE = (State.STARTING, State.WARM, State.PAUSED, State.LEASED, State.POISONED, State.STOPPING)

NEXT: Mapping[tuple[State, Step], State] = {
    (State.COLD, Step.LAUNCH): State.STARTING,
    (State.COLD, Step.FAIL): State.POISONED,
    (State.STARTING, Step.READY): State.WARM,
    (State.STARTING, Step.FAIL): State.POISONED,
    (State.WARM, Step.CLAIM): State.LEASED,
    (State.WARM, Step.FAIL): State.POISONED,
    (State.WARM, Step.PAUSE): State.PAUSED,
    (State.PAUSED, Step.CLAIM): State.LEASED,
    (State.PAUSED, Step.FAIL): State.POISONED,
    (State.LEASED, Step.GIVE_BACK): State.WARM,  # only where the worker refused, so that nobody has used it
    (State.LEASED, Step.FAIL): State.POISONED,
    (State.STARTING, Step.STOP): State.STOPPING,
    (State.WARM, Step.STOP): State.STOPPING,
    (State.PAUSED, Step.STOP): State.STOPPING,
    (State.LEASED, Step.STOP): State.STOPPING,
    (State.POISONED, Step.STOP): State.STOPPING,
    (State.STOPPING, Step.STOP): State.STOPPING,
    **{(state, Step.EXIT): State.GONE for state in (State.COLD, *_ALIVE)},
}
"""Every legal step; what is not here is a defect of the caller."""


class IllegalStep(ValueError):
    """A slot was asked for a step that its state does not have."""


@dataclass(eq=False)
class Slot:
    """One worker in the pool.

    Args:
        spec: What was launched.
        state: Changed by `step` alone.
        address: Of its keeper, once it was ready.
        pid: Of its keeper, 0 before it has one.
        warm_at: The clock when it became warm.
    """

    spec: WorkerSpec
    state: State = State.COLD
    address: str = ""
    pid: int = 0
    warm_at: float = 0.0

    @property
    def kind(self) -> Kind:
        """What makes it interchangeable with others."""
        return Kind(self.spec.environment, self.spec.devices, self.spec.shared)

    @property
    def worker_id(self) -> str:
        """The id that the engine knows."""
        return self.spec.worker_id

    def step(self, step: Step) -> None:
        """Take a step.

        Raises:
            IllegalStep: The table has no such step from here.
        """
        if (self.state, step) not in NEXT:
            raise IllegalStep(f"slot {self.worker_id} is {self.state.value} and cannot {step.value}")
        self.state = NEXT[self.state, step]
