"""Care: the look at everything, again and again, and the order of who gets what.

    look: renew leases -> arrange the queue -> for whom somebody waits, or whose idle time is over: count down
          -> release; now and then: remove the files of sessions that are long gone

A look comes each `renew_s`, and each `watch_s` while somebody waits or a countdown runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from remote_runtime.engines.base import Device, Engine
from remote_runtime.gateway.config import Config
from remote_runtime.gateway.countdown import Act, act, announcement, kept, length_s, losses
from remote_runtime.gateway.directories import remove
from remote_runtime.gateway.session import Session
from remote_runtime.gateway.sessions import Sessions
from remote_runtime.pool.placement import Floor
from remote_runtime.pool.queue import Queue, Wait, label

_log = logging.getLogger(__name__)

SWEEP_S = 600.0
"""Between two looks for files that outlived their session long enough."""


class Care:
    """Looks after the sessions and the queue of one runtime.

    Args:
        config: Times.
        engine: Asked for devices.
        queue: Who waits.
        sessions: Who holds.
        clock: Monotonic seconds.

    Attributes:
        after: Called whenever the queue was arranged.
    """

    def __init__(
        self, config: Config, engine: Engine, queue: Queue, sessions: Sessions, clock: Callable[[], float]
    ) -> None:
        self._config, self._engine, self._queue, self._sessions = config, engine, queue, sessions
        self._clock = clock
        self.devices: Sequence[Device] = ()
        self.after: list[Callable[[], None]] = []
        self.finished = asyncio.Event()
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Future[None]] = set()
        self._calls_count = 0
        self._used_at = clock()
        self._sweep_at = clock()

    def spawn(self, work: Awaitable[None]) -> None:
        """Run something in the background until it is done or `close`."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Break off what runs in the background."""
        for task in list(self._tasks):
            task.cancel()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Count a client's call, so that the gateway does not end under it."""
        self._calls_count += 1
        try:
            yield
        finally:
            self._calls_count -= 1
            self._used_at = self._clock()

    async def refresh(self) -> None:
        """Read the devices anew."""
        self.devices = await self._engine.inventory()

    def _living(self) -> list[Session]:
        return [s for s in self._sessions.by_id.values() if s.ending is None]

    def _idle(self, now: float) -> dict[str, float]:
        return {s.record.session_id: s.idle_s(now) for s in self._living() if not s.running}

    def floor(self) -> Floor:
        """Return what placement sees now."""
        now = self._clock()
        return self._queue.floor(self.devices, self._idle(now), now)

    def arrange(self) -> None:
        """Serve whom can be served, and begin or break off countdowns accordingly."""
        now, living = self._clock(), self._living()
        victims = self._queue.arrange(self.devices, self._idle(now), now)
        for session in living:
            self._count(session, self._why(session, victims, now), now)
        for call in self.after:
            call()
        if self._pressing:
            self._wake.set()

    @property
    def _pressing(self) -> bool:
        counting = any(s.release_at is not None for s in self._sessions.by_id.values())
        return bool(self._queue.waiting) or counting

    def _why(self, session: Session, victims: frozenset[str], now: float) -> str:
        """Return why a session should go, "" where it need not."""
        own_id, policy_s = session.record.session_id, session.record.idle_s
        if own_id in victims:
            wanting = (w for w in self._queue.waiting if isinstance(w.told, Wait) and own_id in w.told.victims)
            labels = [label(w.name, w.user, session.record.user) for w in wanting]
            return f"{labels[0]} waits for what it holds"
        return f"it was idle for {policy_s:.0f} s" if 0 < policy_s <= session.idle_s(now) else ""

    def _count(self, session: Session, why: str, now: float) -> None:
        due_at = session.release_at
        ran = session.running or (due_at is not None and session.idle_s(now) < now - session.counted_from)
        what = act(due_at is not None, bool(why), ran, due_at is not None and now >= due_at)
        if what is Act.START:
            self._start(session, why, now)
        elif what is Act.CANCEL:
            session.release_at = None
            self.spawn(self._sessions.notice(session, kept(session.record.name), None))
        elif what is Act.RELEASE:
            _log.info("session %s is released because %s", session.record.name, why)
            self.spawn(self._sessions.release(session, "lease", f"it was released because {why}"))

    def _start(self, session: Session, why: str, now: float) -> None:
        countdown_s = length_s(self._config.release_countdown_s, session.info)
        session.counted_from, session.release_at = now, now + countdown_s
        text = announcement(session.record.name, countdown_s, why, losses(session.info))
        self.spawn(self._sessions.notice(session, text, countdown_s))

    def release_in_s(self, victims: Sequence[str]) -> float | None:
        """Return when the last of some sessions will be released; None while nothing is counted."""
        found = (self._sessions.by_id.get(i) for i in victims)
        times = [s.release_at - self._clock() for s in found if s is not None and s.release_at is not None]
        return max(0.0, max(times)) if times else None

    async def run(self) -> None:
        """Look again and again; it ends when it is cancelled."""
        while True:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._pause_s())
            try:
                await self.look()
            except Exception:  # noqa: BLE001 - one look that fails must not end the renewing of leases
                _log.exception("looking after the sessions failed")
            await asyncio.sleep(self._config.watch_s)
            self._wake.clear()
            if self._pressing:
                self._wake.set()

    def _pause_s(self) -> float:
        """Return how long nothing needs a look: until the next renewal, or the end for want of use."""
        left_s = self._used_at + self._config.idle_exit_s - self._clock()
        return max(0.0, min(self._config.renew_s, left_s)) if self._config.idle_exit_s else self._config.renew_s

    def _sweep(self) -> None:
        """Remove the files of sessions that nobody opened again; a thread does it, for it may take long."""
        if self._clock() < self._sweep_at:
            return
        self._sweep_at = self._clock() + min(SWEEP_S, self._config.files_keep_s)
        for directory in self._sessions.directories.sweep(self._config.files_keep_s):
            self.spawn(asyncio.to_thread(remove, directory))

    async def look(self) -> None:
        """Look once: renew, arrange, count down, and finish where nothing was held for long enough."""
        if self._queue.waiting:
            await self.refresh()
        await self._sessions.renew()
        self.arrange()
        self._sweep()
        if self._sessions.by_id or self._calls_count or self._queue.waiting:
            self._used_at = self._clock()
        unused_s = self._clock() - self._used_at
        if 0 < self._config.idle_exit_s <= unused_s:
            _log.info("nothing was held for %.0f s: the gateway ends", unused_s)
            self.finished.set()
