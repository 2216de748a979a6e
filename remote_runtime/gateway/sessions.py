"""Sessions: each is a lease of one worker, known by a name, written down, renewed, and released once.

begin(opening) -> warm slot -> record -> Claim -> Session
renew() -> SessionInfo of each      release(session) or the worker's end -> gone: session id -> why
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import NoReturn

from remote_runtime.engines import host
from remote_runtime.engines.base import Exit
from remote_runtime.gateway.books import Books
from remote_runtime.gateway.config import Config
from remote_runtime.gateway.directories import Directories
from remote_runtime.gateway.relay import Keepers, Peer
from remote_runtime.gateway.rows import Ended, SessionRecord
from remote_runtime.gateway.scopes import is_admin
from remote_runtime.gateway.session import Opening, Refused, Session, wire_device
from remote_runtime.gateway.store import StoreFailed
from remote_runtime.gateway.users import os_user
from remote_runtime.pool.endings import describe
from remote_runtime.pool.pool import Pool
from remote_runtime.pool.slots import Slot, State
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.specs import OWN

_log = logging.getLogger(__name__)

CLAIM_S = 30.0
CALL_S = 5.0
STOP_GRACE_S = 2.0
KILL_S = 2.0
REMEMBERED_COUNT = 1000
TRIES = 3


class Sessions:
    """Every session of this runtime.

    Args:
        config: Limits.
        books: Where they are written down.
        pool: Where workers come from.
        keepers: The way to them.
        clock: Monotonic seconds.
    """

    def __init__(
        self, config: Config, books: Books, pool: Pool, keepers: Keepers, clock: Callable[[], float]
    ) -> None:
        self._config, self._books, self._pool, self._keepers = config, books, pool, keepers
        self._clock, self._own_user = clock, os_user()
        self._memory_bytes = config.memory_limit_bytes
        self.directories = Directories(config.state / "sessions")
        self.by_id: dict[str, Session] = {}
        self.ended: OrderedDict[str, Ended] = OrderedDict()

    def find(self, name: str, caller: pb.Caller, anybody: bool = False) -> Session | None:
        """Return a session that a caller may know of.

        Args:
            name: A name, of the caller's own sessions, or an id.
            caller: Who asks: admins may know of every id.
            anybody: Whether an admin's name may be that of somebody else's session, if only one has it.
        """
        named = [s for s in self.by_id.values() if s.record.name == name]
        own = [s for s in named if s.record.user == caller.user]
        visible = [s for s in (self.by_id.get(name), *own) if s is not None and _may_know(caller, s.record.user)]
        if not visible and anybody and is_admin(caller) and len(named) == 1:
            return named[0]
        return visible[0] if visible else None

    def not_found(self, name: str, caller: pb.Caller) -> Failed:
        """Return why `find` found none."""
        named = [s.record for s in self.by_id.values() if s.record.name == name] if is_admin(caller) else []
        if not named:
            return Failed("not-found", f"there is no session {name}", "see `%gpu ps`")
        ids = ", ".join(f"{record.session_id} of {record.user}" for record in named)
        return Failed("not-found", f"{len(named)} users have a session named {name}", f"give its id: {ids}")

    def of(self, user: str) -> list[Session]:
        """Return a user's sessions."""
        return [s for s in self.by_id.values() if s.record.user == user]

    def guest(self, user: str) -> str:
        """Return a user's name, "" of the runtime's own account: its files lie where they always have."""
        return "" if user == self._own_user else user

    async def begin(self, opening: Opening) -> Session:
        """Take a warm worker and claim it for a new session.

        Raises:
            Refused: A device is held by somebody outside this runtime.
            Failed: No worker could be started or claimed, or the session could not be written down.
        """
        for attempt in range(TRIES):
            slot = await self._pool.take(opening.kind)
            try:
                return await self._claim(slot, opening)
            except BaseException as error:  # a cancelled opener too must leave no worker that is half claimed
                await asyncio.shield(self._undo(slot, opening, error))
                if attempt == TRIES - 1 or isinstance(error, StoreFailed) or not _is_away(error):
                    raise
        raise AssertionError("the loop returns or raises")

    async def _undo(self, slot: Slot, opening: Opening, error: BaseException) -> None:
        self._books.never_was(opening.session_id)
        await self._pool.engine.leave(slot.worker_id)
        self.directories.free(opening.name, self.guest(opening.user))
        if isinstance(error, (Refused, StoreFailed)) or (
            isinstance(error, Failed) and error.code in ("disk-full", "files")
        ):
            self._pool.give_back(slot)
        else:
            await self._pool.discard(slot, poisoned=True)

    async def _claim(self, slot: Slot, opening: Opening) -> Session:
        guest = self.guest(opening.user)
        directory = self.directories.take(opening.name, guest)
        self.directories.link(opening.name, opening.places, guest)
        seen = await self._pool.engine.enter(slot.worker_id, directory)
        record = SessionRecord(
            opening.session_id, opening.name, opening.notebook, opening.target, opening.user,
            secrets.token_urlsafe(32), slot.worker_id, 1, opening.devices,
            seen, opening.idle_s, time.time(), opening.kind.environment, opening.share_bytes,
        )  # fmt: skip
        # Written before the claim: no worker is ever claimed that the next gateway would not find.
        await self._books.begin(record)
        session = Session(record, slot)
        reply = await self._keepers.call(session.keeper, "Claim", self._claim_request(record, opening), CLAIM_S)
        if not reply.claimed:
            await self._refused(session, reply.reason)
        session.info = pb.SessionInfo(
            session_id=record.session_id, state="idle", pid=reply.pid, incarnation=1, attached_count=1
        )  # whoever asked is about to attach
        session.info_at = self._clock()
        if slot.state is not State.LEASED:
            raise Failed("unavailable", "the worker ended while it was claimed", "run the cell again")
        self.by_id[record.session_id] = session
        self._books.claimed(record.session_id)
        return session

    async def _refused(self, session: Session, reason: str) -> NoReturn:
        """Tell a device that is locked from a worker that cannot be had."""
        info = await self._ask(session.keeper)
        if info is None or info.session_id:
            raise Failed("unavailable", f"the worker cannot be claimed: {reason}", "run the cell again")
        who = reason.partition("is held by ")[2] or reason
        raise Refused(f"another runtime of this machine ({who})" if who else "another runtime of this machine")

    def _claim_request(self, record: SessionRecord, opening: Opening) -> pb.ClaimRequest:
        return pb.ClaimRequest(
            session_id=record.session_id, session=record.name, notebook=record.notebook, token=record.token,
            devices=[wire_device(d, record.name) for d in record.devices],
            directory=record.directory, target=record.target,
            incarnation=record.incarnation, memory_limit_bytes=self._memory_limit(), env=opening.env,
            shared_devices=record.share_bytes is not None, cache_bytes=self._config.cache_bytes,
            places=[pb.Mount(**asdict(place)) for place in opening.places], device_memory_bytes=record.share_bytes,
        )  # fmt: skip

    def _memory_limit(self) -> int:
        if self._memory_bytes is None:
            self._memory_bytes = int((host.memory_bytes() or 0) * 0.9)
        return self._memory_bytes

    async def adopt(self, slots: Sequence[Slot]) -> None:
        """Take over the sessions of an earlier gateway; those whose worker is gone are known as ended."""
        recorded = {record.worker_id: record for record in await self._books.living()}
        for session_id, ended in await self._books.past(REMEMBERED_COUNT):
            self.ended[session_id] = ended
        await asyncio.gather(*(self._adopt(slot, recorded.pop(slot.worker_id, None)) for slot in slots))
        for record in recorded.values():
            self._remember(record, "unknown", "its worker ended while no gateway ran")

    async def _adopt(self, slot: Slot, record: SessionRecord | None) -> None:
        info = await self._ask(Peer(slot.address, slot.spec.secret))
        if record is not None and slot.state is State.WARM and (info is None or info.session_id == record.session_id):
            self._pool.lease(slot)
            session = Session(record, slot)
            self.by_id[record.session_id] = session
            self._books.adopt(record.session_id, record.user, [device.id for device in record.devices])
            self.directories.take(record.name, self.guest(record.user))
            self._told(session, info)
            return
        if record is not None:
            self._remember(record, "unknown", "its worker serves no session")
        if info is None or info.session_id:
            await self._pool.discard(slot, poisoned=slot.state is not State.STARTING)

    async def renew(self) -> None:
        """Renew the lease of every worker and read what its keeper tells."""
        leased = {session.slot.worker_id: session for session in self.by_id.values()}
        spare = [s for s in self._pool.in_state(State.WARM) if s.worker_id not in leased]
        await asyncio.gather(
            *(self._renew(session) for session in leased.values()),
            *(self._ask(Peer(slot.address, slot.spec.secret)) for slot in spare),
        )
        self._books.beat()

    async def _renew(self, session: Session) -> None:
        self._told(session, await self._ask(session.keeper))

    def _told(self, session: Session, info: pb.SessionInfo | None) -> None:
        session.info, session.info_at = info, self._clock()
        if info is not None and not session.gone.is_set():
            self._books.tell(session.record.session_id, session.slot.address, info)

    async def _ask(self, keeper: Peer) -> pb.SessionInfo | None:
        try:
            return await self._keepers.call(keeper, "Renew", pb.RenewRequest(ttl_s=self._config.ttl_s), CALL_S)
        except Failed as failure:
            _log.info("a lease was not renewed: %s", failure.message)
            return None

    async def alive(self, session: Session) -> bool:
        """Tell whether a session's worker answers; when it does not, its end is waited for."""
        await self._renew(session)
        if session.info is None:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(session.gone.wait(), CALL_S)
        return not session.gone.is_set()

    async def notice(self, session: Session, text: str, release_in_s: float | None) -> None:
        """Show a text to whoever is attached to a session; a keeper that does not answer shows nothing."""
        with suppress(Failed):
            request = pb.NoticeRequest(text=text, release_in_s=release_in_s or 0.0)
            await self._keepers.call(session.keeper, "Notice", request, CALL_S)

    async def release(self, session: Session, reason: str, detail: str) -> None:
        """End a session's worker and wait until it is gone; called again it waits too.

        Args:
            session: Which.
            reason: One word for `ExitReply.reason`.
            detail: A sentence for people.
        """
        if session.ending is None:
            session.ending = (reason, detail)
            with suppress(Failed):
                request = pb.KeeperStopRequest(grace_s=STOP_GRACE_S, reason=detail)
                await self._keepers.call(session.keeper, "Stop", request, STOP_GRACE_S + CALL_S)
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(session.gone.wait(), STOP_GRACE_S + KILL_S)
            await self._pool.discard(session.slot)
        await session.gone.wait()

    def lost(self, slot: Slot, how: Exit) -> Session | None:
        """Note that a worker is gone, and return the session that it held."""
        session = next((s for s in self.by_id.values() if s.slot is slot), None)
        if session is None:
            return None
        del self.by_id[session.record.session_id]
        reason, detail = session.ending or (how.reason, f"its worker ended: {describe(how)}")
        self._remember(session.record, reason, detail)
        session.gone.set()
        return session

    def _remember(self, record: SessionRecord, reason: str, detail: str) -> None:
        self._books.end(record, reason, detail)
        self.directories.free(record.name, self.guest(record.user))
        self.ended[record.session_id] = Ended(reason, detail, user=record.user)
        while len(self.ended) > REMEMBERED_COUNT:
            self.ended.popitem(last=False)

    def infos(self, caller: pb.Caller) -> list[pb.SessionInfo]:
        """Return what is known of the sessions that a caller may see, in the order in which they were opened."""
        ordered: Iterable[Session] = sorted(self.by_id.values(), key=lambda s: s.record.opened_at)
        return [self.info(session) for session in ordered if _may_know(caller, session.record.user)]

    def end_of(self, session_id: str, caller: pb.Caller) -> Ended | None:
        """Return how a session ended, None of one that the caller may not know of."""
        ended = self.ended.get(session_id)
        return ended if ended is not None and _may_know(caller, ended.user) else None

    def info(self, session: Session) -> pb.SessionInfo:
        """Return what the gateway and the keeper know of a session."""
        record, now = session.record, self._clock()
        info = pb.SessionInfo()
        if session.info is not None:
            info.CopyFrom(session.info)
        info.session_id, info.name, info.target = record.session_id, record.name, record.target
        info.user, info.notebook, info.age_s = record.user, record.notebook, max(0.0, time.time() - record.opened_at)
        info.idle_s = 0.0 if session.running else session.idle_s(now)
        if record.share_bytes is not None:
            info.device_memory_bytes = record.share_bytes
        if record.environment != OWN:
            info.environment.CopyFrom(record.environment.wire)
        info.device_ids[:] = [device.id for device in record.devices]
        releasing = session.release_at is not None or session.ending is not None
        info.state = "releasing" if releasing else "running" if session.running else "idle"
        return info


def _may_know(caller: pb.Caller, user: str) -> bool:
    return caller.user == user or is_admin(caller)


def _is_away(error: BaseException) -> bool:
    return isinstance(error, Failed) and error.code == "unavailable"
