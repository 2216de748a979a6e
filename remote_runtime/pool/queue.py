r"""The queue: who holds which device, and who waits for one, in fair order between users.

    join(waiter) -> arrange(devices) -> waiter.answers: Wait, Wait, ... then Chosen or Failed
                          \-> victims: idle sessions whose release would serve somebody

Within one user it is first come first served, see `turns`. Every decision is taken in one step on the event
loop, so no device is given away twice.
"""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from remote_runtime.engines.base import CPU, Device
from remote_runtime.pool.placement import Busy, Chosen, Decision, Floor, Hold, Unavailable, arrange
from remote_runtime.pool.turns import Ring, in_turn
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.targets import Want


@dataclass(frozen=True)
class Wait:
    """Somebody is still waiting.

    Args:
        place: 1 is next.
        reason: In words.
        holders: Who is in the way.
        victims: Sessions that are going to be released for this.
        candidates: Device ids that would do.
    """

    place: int
    reason: str
    holders: tuple[str, ...]
    victims: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()


Answer = Wait | Chosen | Failed


@dataclass(eq=False)
class Waiter:
    """Somebody who wants devices.

    Args:
        session_id: Under which the devices will be held.
        name: The session's name.
        wants: In order of preference.
        user: Whose turn it takes.
        arrived: Smaller numbers came first; 0 where the queue shall give one.

    The share that it takes of each device is that of the want which is met.
    """

    session_id: str
    name: str
    wants: Sequence[Want]
    user: str = ""
    arrived: int = 0
    answers: asyncio.Queue[Answer] = field(default_factory=asyncio.Queue)
    told: Answer | None = None

    def tell(self, answer: Answer) -> None:
        """Pass an answer on, unless it is the last one again."""
        if answer != self.told:
            self.told = answer
            self.answers.put_nowait(answer)

    def tell_again(self) -> None:
        """Pass the last answer on once more: what it says of time has changed."""
        if self.told is not None:
            self.answers.put_nowait(self.told)


@dataclass(frozen=True)
class Lease:
    """What a session holds."""

    name: str
    device_ids: tuple[str, ...]
    user: str = ""
    share_bytes: int | None = None

    def name_for(self, viewer: str, sees_all: bool = False) -> str:
        """Return the session's name, for who may know it; for others, whose it is."""
        return self.name if self.user == viewer or sees_all else label(self.name, self.user, viewer)


def label(name: str, user: str, viewer: str) -> str:
    """Return a session in words: its own user sees the name, another whose it is."""
    return f"session {name}" if user == viewer else f"a session of {user}"


class Queue:
    """The devices of the runtime, held or waited for.

    Args:
        max_workers: Most sessions at once.
        arrived: The last number that an earlier queue gave.
    """

    def __init__(self, max_workers: int, arrived: int = 0) -> None:
        self._max_workers = max_workers
        self.arrived = arrived
        self.leases: dict[str, Lease] = {}
        self._waiting: list[Waiter] = []
        self._ring = Ring()
        self._closed: Failed | None = None
        self._blocked: dict[str, tuple[str, float]] = {}

    @property
    def waiting(self) -> list[Waiter]:
        """Everybody who waits, the next one first."""
        return in_turn(self._ring.users, self._waiting, lambda waiter: waiter.user)

    def hold(
        self, session_id: str, name: str, device_ids: Sequence[str], user: str = "", share_bytes: int | None = None
    ) -> None:
        """Note that a user's session holds devices, or a share of each, as when it is adopted."""
        self.leases[session_id] = Lease(name, tuple(i for i in device_ids if i != CPU), user, share_bytes)

    def give_back(self, session_id: str) -> None:
        """Free what a session holds; one that holds nothing changes nothing."""
        self.leases.pop(session_id, None)

    def block(self, device_ids: Sequence[str], holder: str, until: float) -> None:
        """Give nobody some devices for a while, because somebody outside this runtime holds them.

        Args:
            device_ids: Which.
            holder: In words.
            until: Time of the clock that `arrange` is given.
        """
        self._blocked.update({i: (holder, until) for i in device_ids if i != CPU})

    def join(self, waiter: Waiter, first: bool = False) -> None:
        """Let somebody wait; a closed queue refuses.

        Args:
            waiter: Numbered here, unless it comes back with the number that it had.
            first: It was served in vain, and is next.
        """
        if self._closed is not None:
            waiter.tell(self._closed)
            return
        self.arrived += not waiter.arrived
        waiter.arrived = waiter.arrived or self.arrived
        bisect.insort(self._waiting, waiter, key=lambda one: one.arrived)
        self._ring.enter(waiter.user, first)

    def close(self, failure: Failed) -> None:
        """Refuse everybody who waits, and everybody who comes later.

        Args:
            failure: What they are told.
        """
        self._closed = failure
        for waiter in self.waiting:
            waiter.tell(failure)
            self.leave(waiter)

    def leave(self, waiter: Waiter) -> None:
        """Take somebody out; one who is not there changes nothing."""
        if waiter in self._waiting:
            self._waiting.remove(waiter)
            if all(one.user != waiter.user for one in self._waiting):
                self._ring.leave(waiter.user)

    def arrange(self, devices: Sequence[Device], idle: Mapping[str, float], now: float) -> frozenset[str]:
        """Serve whom can be served and tell the others where they stand.

        Args:
            devices: As the engine sees them now.
            idle: Session id -> seconds idle, for those that may be released.
            now: The clock.

        Returns:
            The sessions whose release would serve somebody.
        """
        while self._serve_one(self._decide(devices, idle, now)):
            pass
        waits = [waiter.told for waiter in self._waiting]
        return frozenset(i for wait in waits if isinstance(wait, Wait) for i in wait.victims)

    def _decide(self, devices: Sequence[Device], idle: Mapping[str, float], now: float) -> list[Decision]:
        """Decide for everybody, in words that each may read: what others run is not told."""
        waiting, floor = self.waiting, partial(self.floor, devices, idle, now)
        wants = [waiter.wants for waiter in waiting]
        seen = {viewer: arrange(wants, floor(viewer)) for viewer in {waiter.user for waiter in waiting}}
        return [seen[waiter.user][place] for place, waiter in enumerate(waiting)]

    def _serve_one(self, decisions: Sequence[Decision]) -> bool:
        """Act on the first decision that is final; return whether there was one."""
        pairs = list(zip(self.waiting, decisions, strict=True))
        final = next(((waiter, decision) for waiter, decision in pairs if not isinstance(decision, Busy)), None)
        if final is not None:
            self._serve(*final)
            return True
        for place, (waiter, busy) in enumerate(pairs, 1):
            waiter.tell(Wait(place, busy.reason, busy.holders, busy.victims, busy.candidates))
        return False

    def _serve(self, waiter: Waiter, decision: Chosen | Unavailable) -> None:
        if isinstance(decision, Unavailable):
            self.leave(waiter)
            waiter.tell(decision.failure)
            return
        self._ring.served(waiter.user)
        self.leave(waiter)
        ids = [device.id for device in decision.devices]
        self.hold(waiter.session_id, waiter.name, ids, waiter.user, decision.share_bytes)
        waiter.tell(decision)

    def floor(self, devices: Sequence[Device], idle: Mapping[str, float], now: float, viewer: str = "") -> Floor:
        """Return what placement looks at, in words for one user."""
        self._blocked = {i: (holder, until) for i, (holder, until) in self._blocked.items() if until > now}
        sessions = {
            i: Hold(i, label(lease.name, lease.user, viewer), idle.get(i), lease.share_bytes)
            for i, lease in self.leases.items()
        }
        held: dict[str, tuple[Hold, ...]] = {i: (Hold("", holder),) for i, (holder, _) in self._blocked.items()}
        for i, lease in self.leases.items():
            held |= {d: (*held.get(d, ()), sessions[i]) for d in lease.device_ids}
        full = len(self.leases) >= self._max_workers
        reason = f"all {self._max_workers} workers are in use" if full else ""
        return Floor(devices, held, reason, sessions)
