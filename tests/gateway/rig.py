"""A gateway in this process, over an engine in memory and keepers in memory, with a clock that tests move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from google.protobuf.message import Message

from remote_runtime.engines.base import Device, Exit
from remote_runtime.gateway.config import Config
from remote_runtime.gateway.gateway import Gateway
from remote_runtime.gateway.records import StateDirectory
from remote_runtime.gateway.relay import Keepers, Peer
from remote_runtime.gateway.store import Store
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import versions
from remote_runtime.wire.failures import Failed
from tests.engines.memory import MemoryEngine, settle

A100 = Device("GPU-1", "NVIDIA A100-SXM4-40GB", 40 << 30)
SECOND = Device("GPU-2", "NVIDIA A100-SXM4-40GB", 40 << 30, index=1)


@dataclass
class Keeper:
    """What one worker's keeper would know."""

    info: pb.SessionInfo = field(default_factory=lambda: pb.SessionInfo(attached_count=1))
    notices: list[pb.NoticeRequest] = field(default_factory=list)
    claim: pb.ClaimRequest | None = None
    idle_since: float = 0.0
    claimed_at: float = 0.0
    busy_s: float = 0.0
    silent: bool = False


class MemoryKeepers(Keepers):
    """Answers for every keeper; `locked` names devices that another runtime holds."""

    def __init__(self, engine: MemoryEngine, clock: Callable[[], float]) -> None:
        super().__init__()
        self._engine, self._clock = engine, clock
        self.by_address: dict[str, Keeper] = {}
        self.locked: dict[str, str] = {}

    async def call(self, peer: Peer, name: str, request: Message, timeout_s: float) -> Message:
        keeper = self.by_address.setdefault(peer.address, Keeper())
        if keeper.silent:
            raise Failed("unavailable", "the worker did not answer")
        return getattr(self, name.lower())(peer, keeper, request)

    def claim(self, peer: Peer, keeper: Keeper, request: pb.ClaimRequest) -> pb.ClaimReply:
        reasons = [self.locked[d.id] for d in request.devices if d.id in self.locked]
        if reasons:
            return pb.ClaimReply(reason=reasons[0])
        keeper.claim, keeper.idle_since, keeper.claimed_at = request, self._clock(), self._clock()
        keeper.info.session_id = request.session_id
        return pb.ClaimReply(claimed=True, pid=8)

    def renew(self, peer: Peer, keeper: Keeper, request: pb.RenewRequest) -> pb.SessionInfo:
        now = self._clock()
        keeper.info.idle_s = 0.0 if keeper.info.runs else now - keeper.idle_since
        if keeper.claim is not None:
            keeper.info.held_s = now - keeper.claimed_at
            keeper.info.busy_s = keeper.busy_s + (now - keeper.idle_since if keeper.info.runs else 0.0)
        return keeper.info

    def notice(self, peer: Peer, keeper: Keeper, request: pb.NoticeRequest) -> pb.Empty:
        keeper.notices.append(request)
        return pb.Empty()

    def stop(self, peer: Peer, keeper: Keeper, request: pb.KeeperStopRequest) -> pb.Empty:
        self._engine.end(peer.address.removeprefix("unix:/"), Exit("stopped", 0))
        return pb.Empty()


class Client:
    """One `Open` in progress."""

    def __init__(self, rig: Rig, request: pb.OpenRequest) -> None:
        self.updates: list[pb.OpenUpdate] = []
        self.failure: Failed | None = None
        self.task = asyncio.ensure_future(self._run(rig, request))

    async def _run(self, rig: Rig, request: pb.OpenRequest) -> None:
        try:
            async for update in rig.gateway.open(request):
                self.updates.append(update)
        except Failed as failure:
            self.failure = failure

    @property
    def granted(self) -> pb.Granted | None:
        last = self.updates[-1] if self.updates else pb.OpenUpdate()
        return last.granted if last.WhichOneof("body") == "granted" else None

    @property
    def waiting(self) -> pb.Waiting:
        return self.updates[-1].waiting


@dataclass
class Rig:
    """A gateway and everything behind it."""

    gateway: Gateway
    engine: MemoryEngine
    keepers: MemoryKeepers
    config: Config
    store: Store
    unlock: Callable[[], None] = lambda: None
    now: float = 1000.0

    async def settle(self) -> None:
        """Let everything run that can, the store's thread too: it answers in the order in which it was asked."""
        for _ in range(6):
            await settle()
            await self.store.read("SELECT 1")
        await settle()

    async def rows(self, sql: str) -> list[tuple]:
        return await self.store.read(sql)

    async def open(self, target: str, session: str, **more: object) -> Client:
        request = pb.OpenRequest(versions=versions.here(), target=target, session=session, **more)
        client = Client(self, request)
        await self.settle()
        return client

    async def look(self, later_s: float = 0.0) -> None:
        self.now += later_s
        await self.gateway.care.look()
        await self.settle()

    def keeper(self, client: Client) -> Keeper:
        return next(k for k in self.keepers.by_address.values() if k.info.session_id == client.granted.session_id)

    def run(self, client: Client, limit_s: float = 0.0) -> None:
        keeper = self.keeper(client)
        keeper.info.runs.append(pb.RunInfo(run_id="r", state="running", label="train()"))
        keeper.idle_since = self.now  # from now on it is the run that lasts
        if limit_s:
            keeper.info.run_left_s = limit_s

    def rest(self, client: Client) -> None:
        keeper = self.keeper(client)
        keeper.busy_s += self.now - keeper.idle_since if keeper.info.runs else 0.0
        del keeper.info.runs[:]
        keeper.info.ClearField("run_left_s")
        keeper.idle_since = self.now


@asynccontextmanager
async def rig(state: Path, *devices: Device, before: Rig | None = None, **more: object) -> AsyncIterator[Rig]:
    """Run a gateway, over the workers of an earlier one if there was one; it looks only when a test does."""
    config = replace(Config(state, state / "run", renew_s=1e6, watch_s=1e6, release_countdown_s=60.0), **more)
    directory = StateDirectory(state)
    directory.lock()
    engine = before.engine if before else MemoryEngine(*devices)
    store = Store(directory.store)
    store.open()
    made = Rig(None, engine, None, config, store, directory.unlock)  # type: ignore[arg-type]
    made.keepers = MemoryKeepers(engine, lambda: made.now)
    made.keepers.by_address = before.keepers.by_address if before else {}
    made.gateway = Gateway(config, store, engine, made.keepers, lambda: made.now)
    await made.gateway.adopt()
    made.gateway.start()
    await made.settle()
    try:
        yield made
    finally:
        await made.gateway.close()
        store.close()
        directory.unlock()
