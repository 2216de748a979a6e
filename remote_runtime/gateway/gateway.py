"""The gateway's verbs: check, ask the pool, hand out a worker's address, forward. It never unpickles.

    Open     -> Opener (queue, warm worker, claim) -> where the worker is
    Relay    -> frames of the worker's stream, unopened
    Describe, Release, Stop, Exit -> Sessions

The faces (`grpc_face`, `http_face`) turn these methods into calls. A refusal is a `Failed`.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager

from remote_runtime.engines.base import Engine, Exit, Starting
from remote_runtime.gateway import checkup
from remote_runtime.gateway.admission import Admission
from remote_runtime.gateway.books import Books
from remote_runtime.gateway.builds import Builds
from remote_runtime.gateway.care import Care
from remote_runtime.gateway.checkup import Facts
from remote_runtime.gateway.config import Config
from remote_runtime.gateway.opening import Opener, Ways
from remote_runtime.gateway.outlook import Outlook
from remote_runtime.gateway.relay import Keepers, Peer
from remote_runtime.gateway.rows import Ended
from remote_runtime.gateway.scopes import is_admin
from remote_runtime.gateway.session import active_runs, wire_device
from remote_runtime.gateway.sessions import CALL_S, Sessions
from remote_runtime.gateway.store import Store
from remote_runtime.gateway.tokens import Token
from remote_runtime.pool.pool import Pool, PoolSettings
from remote_runtime.pool.queue import Queue
from remote_runtime.pool.slots import Slot
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import versions
from remote_runtime.wire.failures import Failed


class Gateway:
    """The control plane of one runtime.

    Args:
        config: How it runs.
        store: Open already.
        engine: Starts workers.
        keepers: The way to the workers that it started.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        engine: Engine,
        keepers: Keepers,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config, self._engine = config, engine
        self.where: Mapping[str, str] = {}
        room_count = config.max_workers + config.min_warm
        self._pool = Pool(engine, PoolSettings(config.pool_policy, room_count), self._gone)
        self._keepers = keepers
        self._queue = Queue(config.max_workers)
        self._books = books = Books(store, clock)
        self._sessions = Sessions(config, books, self._pool, self._keepers, clock)
        self.care = Care(config, engine, self._queue, self._sessions, clock)
        outlook = Outlook(self._queue, self._sessions, books.history, config.release_countdown_s, clock)
        self.care.after += [outlook.look, self._tidy]
        self._admission = Admission(config, engine)
        ways = Ways(self._pool, self._queue, self._sessions, self.care, outlook, books, self._admission)
        self._opener = Opener(ways, clock, config.lease_memory_bytes)
        self._builds = Builds(engine, config.state / "images" / "files")

    @property
    def finished(self) -> asyncio.Event:
        """Set when the gateway has nothing more to do."""
        return self.care.finished

    def call(self) -> AbstractContextManager[None]:
        """Count a client's call for as long as it takes, so that the gateway does not end under it."""
        return self.care.call()

    async def adopt(self) -> None:
        """Take over what an earlier gateway left; called once, before anybody can call."""
        await self.care.refresh()
        self._queue.arrived = await self._books.places()
        await self._sessions.adopt(await self._pool.adopt())
        for session in self._sessions.by_id.values():
            record = session.record
            ids = [device.id for device in record.devices]
            self._queue.hold(record.session_id, record.name, ids, record.user, record.share_bytes)

    def start(self) -> None:
        """Begin to keep workers warm and leases renewed."""
        self._pool.start()
        self.care.spawn(self.care.run())

    async def close(self) -> None:
        """End every worker that nobody holds, and the zygote where none is left; sessions live on."""
        self.care.close()
        await self._builds.close()
        await self._pool.drain()
        if not self._pool.slots:
            await self._engine.retire()
        await self._pool.close()
        await self._engine.close()
        await self._keepers.close()
        self._books.close()

    async def describe(self, request: pb.DescribeRequest) -> pb.RuntimeInfo:
        """Tell what this runtime is, what it has, and who holds it, read at once."""
        await self.care.refresh()
        await self._sessions.renew()
        starting = self._engine.starting or Starting("", "")
        return pb.RuntimeInfo(
            start=starting.mode, start_why=starting.why,
            versions=versions.here(), engine=self._engine.describe().engine, devices=self._wire_devices(request.caller),
            http=self.where.get("http", ""), grpc=self.where.get("grpc", ""), unix=self.where.get("unix", ""),
            pid=os.getpid(), idle_exit_s=self.config.idle_exit_s, sessions=self._sessions.infos(request.caller),
            caller=request.caller, now_at=time.time(),
            mounts=[pb.Mount(source=path, writable=mode) for path, mode in sorted(self.config.policy.mounts.items())],
            config=self.config.policy.file, lease_memory_bytes=self.config.lease_memory_bytes,
        )  # fmt: skip

    def _wire_devices(self, caller: pb.Caller) -> list[pb.Device]:
        held: dict[str, list[str]] = {}
        for lease in self._queue.leases.values():
            for device_id in lease.device_ids:
                held.setdefault(device_id, []).append(lease.name_for(caller.user, is_admin(caller)))
        return [wire_device(device, ", ".join(held.get(device.id, ()))) for device in self.care.devices]

    def open(self, request: pb.OpenRequest) -> AsyncIterator[pb.OpenUpdate]:
        """Open a session by name, or return the one that has it: updates while waiting, then the grant.

        Args:
            request: Its `user` is already the one whose token was shown.

        Raises:
            Failed: The target cannot be read or met, is held and the client does not wait, versions differ, or
                it cannot be written down.
        """
        return self._opener.open(request)

    async def warm(self, request: pb.WarmRequest) -> pb.WarmReply:
        """Begin to warm a worker for somebody who will soon open a session.

        Raises:
            Failed: As `open`.
        """
        return await self._opener.warm(request)

    def _tidy(self) -> None:
        for slot in self._pool.tidy():
            self.care.spawn(self._pool.discard(slot))
    def build(self, request: pb.BuildRequest) -> AsyncIterator[pb.BuildUpdate]:
        """Build an image: its log, then what was built; or which files lack.

        Raises:
            Failed: The engine cannot build it, or a step failed.
        """
        return self._builds.build(request)

    async def supply(self, request: pb.SupplyRequest) -> pb.SupplyReply:
        """Take a piece of a file that an image needs.

        Raises:
            Failed: It is not what was announced, or the disk is full.
        """
        return await self._builds.supply(request)

    async def release(self, request: pb.ReleaseRequest) -> pb.ReleaseReply:
        """End a session.

        Raises:
            Failed: There is none of that name or id, or it runs something and `force` is not given.
        """
        session = self._sessions.find(request.session, request.caller, anybody=True)
        if session is None:
            raise self._sessions.not_found(request.session, request.caller)
        await self._sessions.alive(session)
        info = self._sessions.info(session)
        _refuse_active([info], request.force, "release it with force, or wait for the run")
        await self._sessions.release(session, "stopped", "it was released on request")
        return pb.ReleaseReply(lost_names=info.names, stopped_runs=active_runs(info))

    async def stop(self, request: pb.StopRequest) -> pb.StopReply:
        """End every session and then the gateway.

        Raises:
            Failed: A run is active and `force` is not given.
        """
        await self._sessions.renew()
        stopped = self._sessions.infos(request.caller)
        _refuse_active(stopped, request.force, "stop it with force, or wait for the runs")
        self._queue.close(Failed("unavailable", "the runtime was stopped", "start it again with `warmcell up`"))
        all_of_them = list(self._sessions.by_id.values())
        await asyncio.gather(*(self._sessions.release(s, "stopped", "the runtime was stopped") for s in all_of_them))
        self.finished.set()
        return pb.StopReply(stopped=stopped)

    async def exit(self, request: pb.ExitRequest) -> pb.ExitReply:
        """Tell whether a session's worker is gone and why, once that is known."""
        session = self._sessions.find(request.session_id, request.caller)
        if session is not None and await self._sessions.alive(session):
            return pb.ExitReply(gone=False)
        unknown = Ended("unknown", "this runtime does not know the session")
        ended = self._sessions.end_of(request.session_id, request.caller) or unknown
        return pb.ExitReply(gone=True, reason=ended.reason, detail=ended.detail)

    async def sessions_of(self, user: str, stop: bool) -> list[str]:
        """Return the names of a user's sessions; released, where they are to be stopped."""
        found = self._sessions.of(user)
        if stop:
            detail = f"an admin has revoked the tokens of {user}"
            await asyncio.gather(*(self._sessions.release(session, "stopped", detail) for session in found))
        return [session.record.name for session in found]

    async def examine(self, tokens: Sequence[Token]) -> Sequence[pb.Finding]:
        """Check this side of the runtime, for admins."""
        await self.care.refresh()
        facts = Facts(self.config, self._engine.describe().engine, self.care.devices, tokens, time.time())
        return await asyncio.to_thread(checkup.examine, facts, await self._books.check())

    async def consider(self, request: pb.OpenRequest) -> pb.ConsiderReply:
        """Tell what a session would be made with, and open none."""
        return await self._admission.consider(request)

    async def secrets(self, request: pb.SecretsRequest) -> pb.SecretsReply:
        """Keep, forget or list the caller's secrets."""
        return await self._admission.secrets(request)

    async def volumes(self, request: pb.VolumesRequest) -> pb.VolumesReply:
        """Make, remove, list or write out the caller's volumes."""
        return await self._admission.volumes(request)

    async def lend(self, request: pb.LendRequest) -> pb.Empty:
        """Give the values of secrets to a session's keeper, for one run that is about to come.

        Raises:
            Failed: The session or a secret is not there, or it is another user's session.
        """
        session = self._sessions.by_id.get(request.session_id)
        if session is None or session.record.user != request.user:
            raise Failed("not-found", f"there is no session {request.session_id}", "see `%gpu ps`")
        env = await self._admission.secret_variables(request.user, request.secrets)
        lent = pb.LendRequest(session_id=request.session_id, run_id=request.run_id, env=env)
        return await self._keepers.call(session.keeper, "Lend", lent, CALL_S)

    async def relay(
        self,
        key: tuple[str, str],
        incoming: AsyncIterator[bytes],
        write: Callable[[bytes], Awaitable[None]],
        caller: pb.Caller,
    ) -> None:
        """Pass a stream's frames between a client and a session's worker, unopened.

        Args:
            key: Session id and the token that `Granted` gave.
            incoming: The client's frames.
            write: Sends one frame to the client.
            caller: Who asks.

        Raises:
            Failed: The session is gone, the token is not its own, or the worker ended the stream.
        """
        session_id, token = key
        session = self._sessions.find(session_id, caller)
        expected = session.record.token if session is not None else secrets.token_urlsafe(32)
        if session is None and self._sessions.end_of(session_id, caller) is not None:
            raise Failed("session-lost", f"session {session_id} is gone", "run the cell again")
        if session is None or not hmac.compare_digest(token.encode(), expected.encode()):
            raise Failed("unauthorized", "the session or its token is not known", "open the session again")
        await self._keepers.relay(Peer(session.slot.address, token), incoming, write)

    def _gone(self, slot: Slot, how: Exit) -> None:
        self.care.spawn(self._keepers.forget(slot.address))
        session = self._sessions.lost(slot, how)
        if session is not None:
            self._queue.give_back(session.record.session_id)
            self.care.arrange()


def _refuse_active(infos: Sequence[pb.SessionInfo], force: bool, hint: str) -> None:
    active = [(info, run) for info in infos for run in active_runs(info)]
    if active and not force:
        named = ", ".join(f"{run.label or run.run_id!r} in session {info.name}" for info, run in active)
        raise Failed("busy", f"{len(active)} run{'s are' if len(active) > 1 else ' is'} active: {named}", hint)
