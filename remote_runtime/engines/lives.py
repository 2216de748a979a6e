"""Lives of containers: brought up to the moment in which a worker answers, seen to end, cleared away.

    Contained, its container started -> line -> keeper ordered -> READY
    line gone, or the engine tells -> inspect -> why -> files go home -> EXITED -> container removed
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from remote_runtime.engines.base import Phase, WorkerEvent
from remote_runtime.engines.contained import Contained, ending
from remote_runtime.engines.docker_door import Door, Found
from remote_runtime.engines.docker_site import Site
from remote_runtime.engines.line import Line, dial, listens
from remote_runtime.engines.records import WorkerRecords
from remote_runtime.wire.failures import Failed

START_S = 120.0
"""From a container's start to its keeper's listening; it may import for long."""

_TRY_S = 0.005
_LOOK_S = 0.25
_ENDED_S = 5.0
_KILL_S = 5.0
_QUIET_KILL_S = 0.5

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Lives:
    """The workers of one engine, each with its container.

    Args:
        site: Where they live.
        records: Where they are written down.
    """

    def __init__(self, site: Site, records: WorkerRecords) -> None:
        self._site, self._records = site, records
        self._threads = ThreadPoolExecutor(8, "docker")
        self.workers: dict[str, Contained] = {}
        self._watchers: list[asyncio.Queue[WorkerEvent | None]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def _door(self) -> Door:
        return self._site.door

    def begin(self, work: Callable[[], T]) -> Future[T]:
        """Begin work that waits for the engine, before there is a loop."""
        return self._threads.submit(work)

    # ---- beginnings ---------------------------------------------------------------------------------------

    async def bring_up(self, worker: Contained) -> None:
        """Order the keeper as soon as the container listens, and tell when the keeper does."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_S
        try:
            if await self.connect(worker, deadline) and worker.line is not None:
                await worker.line.order(worker.order())
                await self._await_ready(worker, deadline)
        except Failed as failure:
            level = logging.INFO if worker.ending else logging.WARNING
            _log.log(level, "worker %s: %s", worker.spec.worker_id, failure.message)
        ended = worker.line is not None and worker.line.is_over  # then `ended` is at it, and finds out why
        if worker.phase is Phase.STARTING and not ended:
            worker.ending = worker.ending or "start-failed"
            await self.killed(worker)

    async def connect(self, worker: Contained, deadline: float) -> bool:
        """Dial a container's zygote until it listens; False where the container or the time has ended."""
        loop = asyncio.get_running_loop()
        look_at = loop.time() + _LOOK_S
        while worker.phase is not Phase.EXITED and loop.time() < deadline:
            sock = dial(worker.zygote)
            if sock is not None:
                worker.line = Line(sock, lambda: self.spawn(self.ended(worker)))
                return True
            if loop.time() > look_at:
                look_at = loop.time() + _LOOK_S
                if (await self._look(worker)).state not in ("created", "running", "paused"):
                    await self.ended(worker)
            await asyncio.sleep(_TRY_S)
        return False

    async def _await_ready(self, worker: Contained, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        while worker.phase is Phase.STARTING and loop.time() < deadline:
            if listens(worker.socket):
                worker.phase, worker.was_ready = Phase.READY, True
                self.tell(worker)
                return
            await asyncio.sleep(_TRY_S)

    async def record(self, worker: Contained) -> None:
        """Write down what the next gateway must know of a worker."""
        await self._records.write(worker.spec.worker_id, worker.facts())

    async def undo(self, worker: Contained) -> None:
        """Leave nothing of a worker that could not be started."""
        worker.phase = Phase.EXITED
        with suppress(Failed):
            if worker.container:
                await self.call(self._door.remove, worker.container)
        await self._forget(worker)

    # ---- ends ---------------------------------------------------------------------------------------------

    async def ended(self, worker: Contained) -> None:
        """Find out why a container has ended, put everything back, and tell."""
        if worker.phase is Phase.EXITED or worker.is_ending:
            return
        worker.is_ending = True
        found = await self._after_end(worker)
        worker.exit = ending(found, worker.ending, self._site.profile.memory_bytes)
        worker.phase = Phase.EXITED
        await self.go_home(worker)
        self.tell(worker)
        with suppress(Failed):
            await self.call(self._door.remove, worker.container)
        await self._forget(worker)

    async def _after_end(self, worker: Contained) -> Found:
        """Wait until the engine knows that a container has ended, and return what it knows."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _ENDED_S
        found = await self._look(worker)
        while found.state in ("created", "running", "paused", "removing", "away") and loop.time() < deadline:
            await asyncio.sleep(_TRY_S * 4)
            found = await self._look(worker)
        if found.state in ("running", "paused"):
            _log.warning("worker %s is cut off from this gateway and is ended", worker.spec.worker_id)
            with suppress(Failed):
                await self.call(self._door.kill, worker.container)
        return found

    async def _look(self, worker: Contained) -> Found:
        """Return a worker's container as the engine sees it; its state is "gone" or "away" where it does not."""
        try:
            found = await self.call(self._door.inspect, worker.container)
        except Failed:
            return Found(worker.container, worker.spec.worker_id, "away")
        return found or Found(worker.container, worker.spec.worker_id, "gone")

    async def go_home(self, worker: Contained) -> None:
        """Put the session's directory back where it belongs."""
        if worker.home:
            await asyncio.to_thread(self._site.rooms.leave, worker.spec.worker_id, Path(worker.home))
            worker.home = ""

    async def _forget(self, worker: Contained) -> None:
        """Drop a worker and its files; the log of one that never got ready stays for whoever asks why."""
        if worker.line is not None:
            worker.line.close()
        worker_id = worker.spec.worker_id
        keep_log = not (worker.was_ready or worker.ending == "stopped")
        await asyncio.to_thread(self._site.clear, worker_id, keep_log)
        self._records.remove(worker_id)
        self.workers.pop(worker_id, None)
        worker.gone.set()

    async def killed(self, worker: Contained) -> None:
        """Kill a container and wait until nothing is left of it."""
        with suppress(Failed):
            await self.signal(worker, signal.SIGKILL)
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(worker.gone.wait(), _QUIET_KILL_S)
            return
        with suppress(Failed):
            await self.call(self._door.kill, worker.container)
        if worker.line is None:
            await self.ended(worker)
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(worker.gone.wait(), _KILL_S)

    async def signal(self, worker: Contained, number: signal.Signals) -> None:
        """Signal a container's first process: by its pid, which is quick and needs no engine, else by the engine."""
        with suppress(PermissionError):
            if worker.mark is not None and worker.mark.send(number):
                return
        await self.call(self._door.signal, worker.container, number.name)

    # ---- telling ------------------------------------------------------------------------------------------

    async def watch(self) -> AsyncIterator[WorkerEvent]:
        """Yield where every worker stands, then every change, until `close`."""
        queue: asyncio.Queue[WorkerEvent | None] = asyncio.Queue()
        for worker in self.workers.values():
            queue.put_nowait(worker.event())
        self._watchers.append(queue)
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self._watchers.remove(queue)

    def tell(self, worker: Contained) -> None:
        """Tell everybody who watches where a worker stands."""
        for queue in self._watchers:
            queue.put_nowait(worker.event())

    def close(self) -> None:
        """Stop watching and leave the containers running."""
        for queue in list(self._watchers):
            queue.put_nowait(None)
        for task in list(self._tasks):
            task.cancel()
        for worker in self.workers.values():
            if worker.line is not None:
                worker.line.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def call(self, work: Callable[..., T], *arguments: object) -> T:
        """Do in a thread what waits for the engine or the disk."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def spawn(self, work: Awaitable[None]) -> None:
        """Do something in the background until it is done or `close`."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
