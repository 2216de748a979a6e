"""The outlook of those who wait: an estimate where one can be given, told anew when it has changed.

Wait, holders' countdowns, limits and past -> Left, or None -> the waiter is told again
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from remote_runtime.gateway.countdown import length_s
from remote_runtime.gateway.estimates import History, Left, estimate, left_of
from remote_runtime.gateway.session import Session
from remote_runtime.gateway.sessions import Sessions
from remote_runtime.pool.queue import Queue, Wait, Waiter, label

CHANGED_S = 5.0
"""An estimate of when a wait may be over that moved by more is told again."""


@dataclass(frozen=True)
class _Told:
    rests_on: str
    at: float


class Outlook:
    """Says how long those who wait may wait.

    Args:
        queue: Who waits.
        sessions: Who holds.
        history: How long leases lasted.
        countdown_s: From announcing an idle session's release to the release.
        clock: Monotonic seconds.
    """

    def __init__(
        self, queue: Queue, sessions: Sessions, history: History, countdown_s: float, clock: Callable[[], float]
    ) -> None:
        self._queue, self._sessions, self._history = queue, sessions, history
        self._countdown_s, self._clock = countdown_s, clock
        self._told: WeakKeyDictionary[Waiter, _Told | None] = WeakKeyDictionary()

    def of(self, waiter: Waiter) -> Left | None:
        """Return how long somebody may wait, None where nothing honest can be said; taken as told."""
        left = self._left(waiter, self._queue.waiting)
        self._told[waiter] = self._telling(left)
        return left

    def look(self) -> None:
        """Have those told again whose outlook has changed."""
        waiting = self._queue.waiting
        for waiter in waiting:
            if waiter in self._told and self._differs(self._told[waiter], self._telling(self._left(waiter, waiting))):
                del self._told[waiter]  # until it is told
                waiter.tell_again()

    def _telling(self, left: Left | None) -> _Told | None:
        return _Told(left.rests_on, self._clock() + left.seconds) if left is not None else None

    def _differs(self, told: _Told | None, now: _Told | None) -> bool:
        if told is None or now is None:
            return told is not now
        return told.rests_on != now.rests_on or abs(told.at - now.at) > CHANGED_S

    def _left(self, waiter: Waiter, waiting: Sequence[Waiter]) -> Left | None:
        wait = waiter.told
        if not isinstance(wait, Wait):
            return None
        now = self._clock()
        victims = [self._sessions.by_id[i] for i in wait.victims if i in self._sessions.by_id]
        counted = [s for s in victims if s.release_at is not None]
        if counted and len(counted) == len(wait.victims):
            return max(_as_seen(left, s, waiter.user) for s in counted if (left := self._announced(s, now)) is not None)
        if any(want.count != 1 for want in waiter.wants):
            return None
        rivals = [w for w in waiting[: waiting.index(waiter)] if _same_devices(wait, w.told)]
        return estimate(len(rivals), [self._of_session(s, now, waiter.user) for s in self._holding(wait.candidates)])

    def _holding(self, candidates: Iterable[str]) -> list[Session]:
        """Return who holds some devices, once for each; everybody, where it is places that lack."""
        living, leases = self._sessions.by_id, self._queue.leases
        wanted = frozenset(candidates)
        if not wanted:
            return list(living.values())
        return [living[i] for i, lease in leases.items() if i in living for d in lease.device_ids if d in wanted]

    def _of_session(self, session: Session, now: float, viewer: str) -> Left | None:
        left = self._of_holder(session, now)
        return _as_seen(left, session, viewer) if left is not None else None

    def _of_holder(self, session: Session, now: float) -> Left | None:
        record, held_s = session.record, session.held_s(now)
        announced = self._announced(session, now)
        if announced is not None or held_s is None:
            return announced
        return self._history.left(record.name, record.target, held_s)

    def _announced(self, session: Session, now: float) -> Left | None:
        info, run_left_s = session.info, None
        if info is not None and info.HasField("run_left_s"):
            run_left_s = max(0.0, info.run_left_s - (now - session.info_at))
        countdown_s = max(0.0, session.release_at - now) if session.release_at is not None else None
        return left_of(session.record.name, countdown_s, run_left_s, length_s(self._countdown_s, info))


def _as_seen(left: Left, session: Session, viewer: str) -> Left:
    """Return an estimate in words that name no session of another user."""
    name, user = session.record.name, session.record.user
    return Left(left.seconds, left.rests_on.replace(f"session {name}", label(name, user, viewer)))


def _same_devices(wait: Wait, other: object) -> bool:
    if not isinstance(other, Wait):
        return False
    return not wait.candidates or not other.candidates or not set(wait.candidates).isdisjoint(other.candidates)
