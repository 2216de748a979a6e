"""The embedded engine: workers are processes of this user on this machine, started by one zygote.

    launch(spec) -> zygote -> keeper; its record -> READY when its socket answers -> EXITED when its pid
    ends

Every worker has a record with its pid and start time. A new gateway adopts what the records and the system
agree on, whether or not the zygote that forked it still lives. What this engine does not hold apart is in
`NOT_HELD`.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from remote_runtime.engines import host, pids, places, records
from remote_runtime.engines.base import (
    Capabilities,
    Device,
    Engine,
    EngineSettings,
    Exit,
    Phase,
    Starting,
    Verdict,
    WorkerEvent,
    WorkerSpec,
    WorkerStatus,
)
from remote_runtime.engines.environments import Environments
from remote_runtime.engines.local import Local, listens
from remote_runtime.engines.notheld import NOT_HELD
from remote_runtime.engines.venvs import VenvBuilder
from remote_runtime.engines.zygote import Zygote, tail
from remote_runtime.wire import lane, limits
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.specs import Environment, Mount, environment_from

__all__ = ["NOT_HELD", "ProcessEngine"]

START_S = 60.0
"""From asking for a keeper to its listening; a zygote that still imports is waited for."""

_READY_TRY_S = 0.005
_REPORT_S = 0.5
_KILL_S = 5.0


class ProcessEngine(Engine):
    """Starts workers as local processes.

    Args:
        settings: Directories, imports and declared devices.

    Raises:
        Failed: code "bad-target", when the declared devices cannot be read.
    """

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        self._declared = host.simulated(settings.simulate)
        self._records = settings.records
        self._zygote = Zygote(settings, self._reported)
        self._environments = Environments(settings, self._reported)
        self._workers: dict[str, Local] = {}
        self._reports: dict[str, Exit] = {}
        self._watchers: list[asyncio.Queue[WorkerEvent | None]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def prepare(self) -> None:
        """Start the zygote, which imports while the gateway does."""
        self._zygote.spawn()

    def describe(self) -> Capabilities:
        """Tell that workers share everything but their memory and take devices when claimed."""
        return Capabilities("process", ("process",), ("unix",), late_devices=True)

    @property
    def starting(self) -> Starting | None:
        """What the zygote has said of itself, once it has imported and chosen."""
        return self._zygote.starting

    @property
    def builder(self) -> VenvBuilder:
        """What makes virtual environments of images."""
        return self._environments.builder

    async def admit(self, environment: Environment) -> Environment:
        """Find the interpreter or the image, give it what it lacks, and see where mounts and volumes can be."""
        await super().admit(replace(environment, image="", python="", mounts=(), volumes=()))
        return await self._environments.admit(environment)

    async def versions(self, environment: Environment) -> pb.Versions:
        """Return those of the interpreter and its packages."""
        return await self._environments.versions(environment)

    def places(self, environment: Environment) -> Sequence[Mount]:
        """Return links; see `places`."""
        return self._environments.places(environment)

    def remarks(self, environment: Environment) -> Sequence[str]:
        """Say what links do not hold, and where they are."""
        return places.remarks(environment, self.places(environment))

    async def inventory(self) -> Sequence[Device]:
        """Return real devices, declared ones and the processor; NVML can be slow and is asked in a thread."""
        parent = [self._zygote.mark.pid] if self._zygote.mark else None
        return await asyncio.to_thread(host.inventory, self._declared, parent)

    async def check(self, spec: WorkerSpec) -> Verdict:
        """Compare the devices of a spec with what there is."""
        known = {device.id: device for device in await self.inventory()}
        if not all(name in known for name in spec.devices):
            return Verdict.UNSATISFIABLE
        return Verdict.OK if all(known[name].state == "free" for name in spec.devices) else Verdict.BUSY

    async def launch(self, spec: WorkerSpec) -> None:
        """Record a worker, have the zygote fork its keeper, and tell when it listens."""
        if spec.worker_id in self._workers:
            return
        worker = Local(spec, self._socket(spec.worker_id))
        self._workers[spec.worker_id] = worker
        try:
            await self._record(worker)
            places.lay_absolute(self.places(spec.environment))
            worker.mark = pids.mark(await self._fork(worker))
            await self._record(worker)
        except (Failed, OSError, asyncio.CancelledError):
            self._forget(worker)
            if worker.mark is not None:
                worker.mark.send(signal.SIGKILL)
            raise
        self._tell(worker)
        self._follow(worker)
        self._spawn(self._await_ready(worker))

    def _socket(self, worker_id: str) -> Path:
        path = self.settings.runtime / f"w-{worker_id}.sock"
        if len(os.fsencode(path)) > limits.UNIX_PATH_BYTES:
            raise Failed(
                "unavailable",
                f"the socket path {path} is longer than {limits.UNIX_PATH_BYTES} bytes",
                "choose a shorter --runtime-dir",
            )
        return path

    async def _fork(self, worker: Local) -> int:
        directory = records.private_directory(self.settings.state / "boot")
        message = {
            "worker_id": worker.spec.worker_id, "socket": str(worker.socket), "secret": worker.spec.secret,
            "directory": str(directory), "log": str(self._log(worker.spec.worker_id)),
        }  # fmt: skip
        zygote = await self._environments.zygote(worker.spec.environment) or self._zygote
        try:
            return await asyncio.wait_for(zygote.keeper(message), START_S)
        except asyncio.TimeoutError as error:
            raise Failed("unavailable", f"no worker started within {START_S:.0f} s", "see `warmcell logs`") from error

    def _log(self, worker_id: str) -> Path:
        return self.settings.state / "boot" / f"{worker_id}.log"

    async def _record(self, worker: Local) -> None:
        mark = worker.mark
        await self._records.write(worker.spec.worker_id, {
            "socket": str(worker.socket), "secret": worker.spec.secret, "labels": dict(worker.spec.labels),
            "pid": mark.pid if mark else 0, "start_ticks": mark.start_ticks if mark else 0,
            "environment": worker.spec.environment.facts,
        })  # fmt: skip

    async def _await_ready(self, worker: Local) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_S
        while worker.phase is Phase.STARTING and loop.time() < deadline:
            if listens(worker.socket):
                worker.phase, worker.was_ready = Phase.READY, True
                self._tell(worker)
                return
            await asyncio.sleep(_READY_TRY_S)
        if worker.phase is Phase.STARTING:
            worker.ending = "start-failed"
            await self._signal(worker, signal.SIGKILL)

    def _follow(self, worker: Local) -> None:
        if worker.mark is None:
            self._ended(worker)
            return
        worker.unwatch = pids.on_end(
            worker.mark, asyncio.get_running_loop(), lambda: self._spawn(self._after_end(worker))
        )

    async def _after_end(self, worker: Local) -> None:
        """Give the zygote, which knows the exit code, a moment to report it."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _REPORT_S
        while worker.spec.worker_id not in self._reports and loop.time() < deadline and not worker.ending:
            await asyncio.sleep(_READY_TRY_S)
        self._ended(worker)

    def _reported(self, worker_id: str, report: Exit) -> None:
        if worker_id in self._workers:
            self._reports[worker_id] = report

    def _ended(self, worker: Local) -> None:
        if worker.phase is Phase.EXITED:
            return
        report = self._reports.pop(worker.spec.worker_id, Exit("unknown"))
        worker.exit = Exit(worker.ending or report.reason, report.code, report.signal)
        worker.phase = Phase.EXITED
        self._forget(worker)
        self._tell(worker)

    def _forget(self, worker: Local) -> None:
        """Drop a worker and its files; the log of one that never got ready stays for whoever asks why."""
        worker.unwatch()
        if worker.was_ready or worker.ending:
            records.remove(self._log(worker.spec.worker_id))
        worker.gone.set()
        self._workers.pop(worker.spec.worker_id, None)
        self._remove_files(worker.spec.worker_id, worker.socket)
        self._environments.left(worker.spec.environment, self._made_with)

    def _made_with(self) -> Sequence[Environment]:
        return [worker.spec.environment for worker in self._workers.values()]

    def _remove_files(self, worker_id: str, path: Path) -> None:
        records.remove(path)
        records.remove(Path(lane.path_of(str(path))))
        self._records.remove(worker_id)

    async def watch(self) -> AsyncIterator[WorkerEvent]:
        """Yield where every worker stands, then every change, until `close`."""
        queue: asyncio.Queue[WorkerEvent | None] = asyncio.Queue()
        for worker in self._workers.values():
            queue.put_nowait(worker.event())
        self._watchers.append(queue)
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self._watchers.remove(queue)

    def _tell(self, worker: Local) -> None:
        for queue in self._watchers:
            queue.put_nowait(worker.event())

    async def list(self) -> Sequence[WorkerStatus]:
        """Adopt every recorded worker that still runs, remove what is left of the others."""
        for worker_id, record in (await self._records.all()).items():
            if worker_id not in self._workers:
                self._adopt(worker_id, record)
        living = [*self._workers.values()]
        self._spawn(self._zygote.meet())
        self._spawn(self._environments.meet([worker.spec.environment for worker in living]))
        return [WorkerStatus(w.spec, w.phase, f"unix:{w.socket}", w.pid) for w in living]

    def _adopt(self, worker_id: str, record: records.Facts) -> None:
        mark = pids.Mark(record.get("pid", 0), record.get("start_ticks", 0))
        made_with = environment_from(record.get("environment"))
        if not mark.pid or not mark.alive:
            self._remove_files(worker_id, Path(record.get("socket") or self._socket(worker_id)))
            self._environments.left(made_with, self._made_with)
            return
        spec = WorkerSpec(worker_id, record["secret"], (), record.get("labels", {}), made_with)
        worker = Local(spec, Path(record["socket"]), mark)
        self._workers[worker_id] = worker
        worker.was_ready = listens(worker.socket)
        worker.phase = Phase.READY if worker.was_ready else Phase.STARTING
        self._follow(worker)
        if worker.phase is Phase.STARTING:
            self._spawn(self._await_ready(worker))

    async def stop(self, worker_id: str, grace_s: float) -> None:
        """Send SIGTERM to the keeper, and SIGKILL after the grace."""
        worker = self._workers.get(worker_id)
        if worker is None:
            return
        worker.ending = worker.ending or "stopped"
        await self._signal(worker, signal.SIGTERM)
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(worker.gone.wait(), grace_s)
            return
        await self.kill(worker_id)

    async def kill(self, worker_id: str) -> None:
        """Send SIGKILL to the keeper; the zygote kills the worker's process group when it sees that."""
        worker = self._workers.get(worker_id)
        if worker is None:
            return
        worker.ending = worker.ending or "killed"
        await self._signal(worker, signal.SIGKILL)
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(worker.gone.wait(), _KILL_S)

    async def _signal(self, worker: Local, number: signal.Signals) -> None:
        if worker.mark is not None and not worker.mark.send(number):
            self._ended(worker)

    async def boot_log(self, worker_id: str) -> str:
        """Return what a keeper wrote, or the zygote where the keeper wrote nothing."""
        worker = self._workers.get(worker_id)
        log = self._environments.log(worker.spec.environment) if worker is not None else None
        return tail(self._log(worker_id)) or (self._zygote.log() if log is None else log)

    async def retire(self) -> None:
        """End the zygotes."""
        await self._environments.retire()
        await self._zygote.end(_KILL_S)

    async def close(self) -> None:
        """Stop watching and leave keepers and zygote running."""
        for queue in list(self._watchers):
            queue.put_nowait(None)
        for task in list(self._tasks):
            task.cancel()
        for worker in self._workers.values():
            worker.unwatch()
        self._zygote.close()
        self._environments.close()

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
