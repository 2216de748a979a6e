"""Sessions: each is a lease of one worker, known by a name, written down, renewed, and released once.

begin(waiter, devices) -> warm slot -> Claim -> record -> Session
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
from dataclasses import dataclass, field
from typing import NoReturn

from remote_runtime.engines import host
from remote_runtime.engines.base import Device, Exit
from remote_runtime.gateway.config import Config
from remote_runtime.gateway.directories import Directories
from remote_runtime.gateway.records import SessionRecord, StateDirectory
from remote_runtime.gateway.relay import Keepers, Peer
from remote_runtime.pool.pool import Pool, describe
from remote_runtime.pool.slots import Slot, State
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed

_log = logging.getLogger(__name__)

CLAIM_S = 30.0
CALL_S = 5.0
STOP_GRACE_S = 2.0
KILL_S = 2.0
REMEMBERED_COUNT = 1000
TRIES = 3


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
        target: As it was asked for.
        idle_s: Its policy.
        devices: That it holds from now on.
    """

    session_id: str
    name: str
    notebook: str
    target: str
    idle_s: float
    devices: tuple[Device, ...]


class Sessions:
    """Every session of this runtime.

    Args:
        config: Limits.
        state: Where they are written down.
        pool: Where workers come from.
        keepers: The way to them.
        clock: Monotonic seconds.
    """

    def __init__(
        self, config: Config, state: StateDirectory, pool: Pool, keepers: Keepers, clock: Callable[[], float]
    ) -> None:
        self._config, self._state, self._pool, self._keepers, self._clock = (
            config,
            state,
            pool,
            keepers,
            clock,
        )
        self._memory_bytes = config.memory_limit_bytes
        self.directories = Directories(state.path / "sessions")
        self.by_id: dict[str, Session] = {}
        self.ended: OrderedDict[str, tuple[str, str]] = OrderedDict()

    def find(self, name: str) -> Session | None:
        """Return the session of a name or an id."""
        found = (s for s in self.by_id.values() if s.record.name == name)
        return self.by_id.get(name) or next(found, None)

    async def begin(self, opening: Opening) -> Session:
        """Take a warm worker and claim it for a new session.

        Raises:
            Refused: A device is held by somebody outside this runtime.
            Failed: No worker could be started or claimed, or the session could not be written down.
        """
        for attempt in range(TRIES):
            slot = await self._pool.take()
            try:
                return await self._claim(slot, opening)
            except BaseException as error:  # a cancelled opener too must leave no worker that is half claimed
                await asyncio.shield(self._undo(slot, opening, error))
                if attempt == TRIES - 1 or not (isinstance(error, Failed) and error.code == "unavailable"):
                    raise
        raise AssertionError("the loop returns or raises")

    async def _undo(self, slot: Slot, opening: Opening, error: BaseException) -> None:
        self._state.remove_session(opening.session_id)
        self.directories.free(opening.name)
        if isinstance(error, Refused) or (isinstance(error, Failed) and error.code == "disk-full"):
            self._pool.give_back(slot)
        else:
            await self._pool.discard(slot, poisoned=True)

    async def _claim(self, slot: Slot, opening: Opening) -> Session:
        record = SessionRecord(
            opening.session_id, opening.name, opening.notebook, opening.target, secrets.token_urlsafe(32),
            slot.worker_id, 1, opening.devices, opening.idle_s, time.time(),
        )  # fmt: skip
        # Written before the claim: no worker is ever claimed that the next gateway would not find.
        self._state.write_session(record)
        session = Session(record, slot)
        reply = await self._keepers.call(session.keeper, "Claim", self._claim_request(record), CLAIM_S)
        if not reply.claimed:
            await self._refused(session, reply.reason)
        session.info = pb.SessionInfo(
            session_id=record.session_id, state="idle", pid=reply.pid, incarnation=1, attached_count=1
        )  # whoever asked is about to attach
        session.info_at = self._clock()
        if slot.state is not State.LEASED:
            raise Failed("unavailable", "the worker ended while it was claimed", "run the cell again")
        self.by_id[record.session_id] = session
        return session

    async def _refused(self, session: Session, reason: str) -> NoReturn:
        """Tell a device that is locked from a worker that cannot be had."""
        info = await self._ask(session.keeper)
        if info is None or info.session_id:
            raise Failed("unavailable", f"the worker cannot be claimed: {reason}", "run the cell again")
        who = reason.partition("is held by ")[2] or reason
        raise Refused(f"another runtime of this machine ({who})" if who else "another runtime of this machine")

    def _claim_request(self, record: SessionRecord) -> pb.ClaimRequest:
        return pb.ClaimRequest(
            session_id=record.session_id, session=record.name, notebook=record.notebook, token=record.token,
            devices=[wire_device(d, record.name) for d in record.devices],
            directory=str(self.directories.take(record.name)), target=record.target,
            incarnation=record.incarnation, memory_limit_bytes=self._memory_limit(),
        )  # fmt: skip

    def _memory_limit(self) -> int:
        if self._memory_bytes is None:
            self._memory_bytes = int((host.memory_bytes() or 0) * 0.9)
        return self._memory_bytes

    async def adopt(self, slots: Sequence[Slot]) -> None:
        """Take over the sessions of an earlier gateway; those whose worker is gone are known as ended."""
        recorded = {record.worker_id: record for record in self._state.sessions()}
        await asyncio.gather(*(self._adopt(slot, recorded.pop(slot.worker_id, None)) for slot in slots))
        for record in recorded.values():
            self._remember(record, "unknown", "its worker ended while no gateway ran")

    async def _adopt(self, slot: Slot, record: SessionRecord | None) -> None:
        info = await self._ask(Peer(slot.address, slot.spec.secret))
        if record is not None and slot.state is State.WARM and (info is None or info.session_id == record.session_id):
            self._pool.lease(slot)
            session = Session(record, slot, info, self._clock())
            self.by_id[record.session_id] = session
            self.directories.take(record.name)
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

    async def _renew(self, session: Session) -> None:
        session.info = await self._ask(session.keeper)
        session.info_at = self._clock()

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
        self._state.remove_session(record.session_id)
        self.directories.free(record.name)
        self.ended[record.session_id] = (reason, detail)
        while len(self.ended) > REMEMBERED_COUNT:
            self.ended.popitem(last=False)

    def infos(self) -> list[pb.SessionInfo]:
        """Return what is known of every session, in the order in which they were opened."""
        ordered: Iterable[Session] = sorted(self.by_id.values(), key=lambda s: s.record.opened_at)
        return [self.info(session) for session in ordered]

    def info(self, session: Session) -> pb.SessionInfo:
        """Return what the gateway and the keeper know of a session."""
        record, now = session.record, self._clock()
        info = pb.SessionInfo()
        if session.info is not None:
            info.CopyFrom(session.info)
        info.session_id, info.name, info.target = record.session_id, record.name, record.target
        info.notebook, info.age_s = record.notebook, max(0.0, time.time() - record.opened_at)
        info.idle_s = 0.0 if session.running else session.idle_s(now)
        info.device_ids[:] = [device.id for device in record.devices]
        releasing = session.release_at is not None or session.ending is not None
        info.state = "releasing" if releasing else "running" if session.running else "idle"
        return info


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
