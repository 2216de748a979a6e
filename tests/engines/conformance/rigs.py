"""One engine for the suite that every engine must pass: how it is made, what it may leave, what it has seen."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from remote_runtime import engines
from remote_runtime.engines.base import Engine, EngineSettings, Phase, WorkerEvent, WorkerSpec
from remote_runtime.engines.records import MemoryRecords
from remote_runtime.gateway.relay import Keepers, Peer
from remote_runtime.wire import messages_pb2 as pb
from tests.containers import engine as containers
from tests.leftovers import processes_naming

Body = Callable[[Engine], Awaitable[None]]
SECRET = "of-the-worker"


@dataclass
class Rig:
    """One kind of engine on one home.

    Args:
        name: Its entry point's name.
        home: Its directories; what an engine writes down outlives it, as the gateway's store does.
    """

    name: str
    home: Path
    records: MemoryRecords = field(default_factory=MemoryRecords)

    def engine(self, **more: object) -> Engine:
        """Make the engine, as each new gateway does."""
        for part in ("state", "run", "sessions"):
            (self.home / part).mkdir(exist_ok=True)
        given = {"simulate": "A100:2", "records": self.records, "imports": (), **more}
        return engines.load(self.name, EngineSettings(self.home / "state", self.home / "run", **given))

    def within(self, body: Body, timeout_s: float = 60, **more: object) -> None:
        """Run a test's body on a fresh engine, and end what it has started."""

        async def run() -> None:
            engine = self.engine(**more)
            engine.prepare()
            try:
                await asyncio.wait_for(body(engine), timeout_s)
            finally:
                with suppress(Exception):
                    for status in await engine.list():
                        await engine.kill(status.spec.worker_id)
                await engine.close()

        asyncio.run(run())

    def left(self) -> Mapping[str, object]:
        """Return what is there of workers: containers and processes, sockets and rooms."""
        files = sorted(str(p.relative_to(self.home)) for p in self.home.glob("run/w-*"))
        rooms = sorted(p.name for p in self.home.glob("state/rooms/*"))
        found = {"files": files, "rooms": rooms}
        return found | ({"containers": containers.containers(self.home)} if self.name == "docker" else {})

    def retire(self) -> None:
        """End what the engine keeps for future workers."""
        asyncio.run(asyncio.wait_for(self._retire(), 20))
        assert not processes_naming(str(self.home))

    async def _retire(self) -> None:
        while True:
            engine = self.engine()
            await engine.retire()
            await engine.close()
            if not processes_naming(str(self.home)):
                return
            await asyncio.sleep(0.05)  # a zygote that was started just now cannot be asked to end yet


class Watcher:
    """What `watch` told so far."""

    def __init__(self, engine: Engine) -> None:
        self.events: list[WorkerEvent] = []
        self.ended = asyncio.Event()
        self._new = asyncio.Event()
        self._task = asyncio.ensure_future(self._follow(engine))

    async def _follow(self, engine: Engine) -> None:
        async for event in engine.watch():
            self.events.append(event)
            self._new.set()
        self.ended.set()

    def phases(self, worker_id: str) -> list[Phase]:
        """Return what a worker has gone through."""
        return [e.phase for e in self.events if e.worker_id == worker_id]

    async def until(self, worker_id: str, phase: Phase) -> WorkerEvent:
        """Wait for the first event of a kind."""
        while not (found := [e for e in self.events if (e.worker_id, e.phase) == (worker_id, phase)]):
            self._new.clear()
            await self._new.wait()
        return found[0]


async def ready(engine: Engine, worker_id: str) -> tuple[Watcher, WorkerEvent]:
    """Launch a worker and wait until it is ready."""
    watcher = Watcher(engine)
    await asyncio.sleep(0)
    await engine.launch(WorkerSpec(worker_id, SECRET, labels={"owner": "me"}))
    return watcher, await watcher.until(worker_id, Phase.READY)


async def asked(address: str, secret: str = SECRET, timeout_s: float = 5.0) -> pb.SessionInfo:
    """Ask a keeper how it is."""
    return await called(address, "Renew", pb.RenewRequest(ttl_s=30), secret, timeout_s)


async def called(address: str, name: str, request: object, secret: str = SECRET, timeout_s: float = 5.0) -> object:
    """Call one method of a keeper."""
    keepers = Keepers()
    try:
        return await keepers.call(Peer(address, secret), name, request, timeout_s)
    finally:
        await keepers.close()


def send(pid: int, number: int) -> None:
    """Send a signal to a worker's first process."""
    os.kill(pid, number)


def each() -> Iterator[str]:
    """Yield the engines that must pass."""
    yield from ("process", "docker")
