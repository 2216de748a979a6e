"""An engine in memory: workers start and end when a test says so, and starting can be made to fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from remote_runtime.engines.base import (
    CPU,
    Capabilities,
    Device,
    Engine,
    EngineSettings,
    Exit,
    Phase,
    Verdict,
    WorkerEvent,
    WorkerSpec,
    WorkerStatus,
)
from remote_runtime.wire.failures import Failed

PROCESSOR = Device(CPU, CPU, 16 << 30)


class MemoryEngine(Engine):
    """Keeps workers as entries of a dictionary."""

    def __init__(self, *devices: Device, prompt: bool = True) -> None:
        super().__init__(EngineSettings(Path("state"), Path("run")))
        self.devices = [*devices, PROCESSOR]
        self.prompt = prompt
        self.failure: Failed | None = None
        self.workers: dict[str, WorkerStatus] = {}
        self.launched: list[str] = []
        self.killed: list[str] = []
        self.retired = False
        self.late_devices, self.can_pause = True, False
        self.paused: list[str] = []
        self.sleeps_on: Failed | None = None
        self._queue: asyncio.Queue[WorkerEvent | None] = asyncio.Queue()

    def describe(self) -> Capabilities:
        return Capabilities("memory", (), ("unix",), late_devices=self.late_devices, pause=self.can_pause)

    async def inventory(self) -> Sequence[Device]:
        return list(self.devices)

    async def check(self, spec: WorkerSpec) -> Verdict:
        return Verdict.OK

    async def launch(self, spec: WorkerSpec) -> None:
        self.launched.append(spec.worker_id)
        if self.failure is not None:
            raise self.failure
        self.workers[spec.worker_id] = WorkerStatus(spec, Phase.STARTING)
        if self.prompt:
            self.ready(spec.worker_id)

    def ready(self, worker_id: str) -> None:
        status = WorkerStatus(self.workers[worker_id].spec, Phase.READY, f"unix:/{worker_id}", 7)
        self.workers[worker_id] = status
        self._queue.put_nowait(WorkerEvent(worker_id, Phase.READY, status.address, 7))

    def end(self, worker_id: str, how: Exit) -> None:
        if self.workers.pop(worker_id, None) is not None:
            self._queue.put_nowait(WorkerEvent(worker_id, Phase.EXITED, exit=how))

    async def watch(self) -> AsyncIterator[WorkerEvent]:
        while (event := await self._queue.get()) is not None:
            yield event

    async def list(self) -> Sequence[WorkerStatus]:
        return [*self.workers.values()]

    async def stop(self, worker_id: str, grace_s: float) -> None:
        self.end(worker_id, Exit("stopped", 0))

    async def kill(self, worker_id: str) -> None:
        self.killed.append(worker_id)
        self.end(worker_id, Exit("killed", None, 9))

    async def pause(self, worker_id: str) -> None:
        self.paused.append(worker_id)

    async def resume(self, worker_id: str) -> None:
        self.paused.remove(worker_id)
        if self.sleeps_on is not None:
            raise self.sleeps_on

    async def boot_log(self, worker_id: str) -> str:
        return ""

    async def retire(self) -> None:
        self.retired = True

    async def close(self) -> None:
        self._queue.put_nowait(None)


async def settle() -> None:
    """Let everything that can run on the loop run."""
    for _ in range(30):
        await asyncio.sleep(0)
