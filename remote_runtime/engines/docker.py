"""The docker engine: each worker is a container of its own, hardened, with its socket on a directory that both see.

    launch(spec) -> image, network, rooms, what is bound, container -> line to its zygote -> keeper ordered -> READY
    the line ends, or the engine tells -> inspect -> why -> files go home, container removed -> EXITED

A worker is found again by two things that must agree: a record here, and a container that bears this installation's
label. A record without a container is forgotten, a container without a record removed. What this engine does not
hold apart is in `NOT_HELD`.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from remote_runtime.engines import hardening, host
from remote_runtime.engines.base import (
    CPU,
    Capabilities,
    Device,
    Engine,
    EngineSettings,
    Phase,
    Verdict,
    WorkerEvent,
    WorkerSpec,
    WorkerStatus,
)
from remote_runtime.engines.contained import Contained
from remote_runtime.engines.docker_builder import DockerBuilder
from remote_runtime.engines.docker_door import Door, Found
from remote_runtime.engines.docker_environments import DockerEnvironments
from remote_runtime.engines.docker_site import Ready, Site
from remote_runtime.engines.events import Events
from remote_runtime.engines.line import listens
from remote_runtime.engines.lives import Lives
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.specs import Environment, Mount

NOT_HELD: tuple[tuple[str, str], ...] = (
    ("kernel", "All workers share the host's kernel: a hole in it is a way out, unless the runtime is gVisor."),
    ("disk", "Nothing limits how much a session writes to its directory, nor the bandwidth that it takes."),
    ("gpu memory", "Nothing limits how much memory of a GPU a worker takes, once the GPU is its own."),
    ("internet", "A worker sends whatever it has to any address of the internet, unless the network is none."),
    (
        "links",
        "A session that may write a directory could put a link below it in the moment in which another container is "
        "given what lies there.",
    ),
    ("timing", "Workers of one machine share its caches, and could tell from them what others do."),
)
"""What stands open on this engine: key -> the sentence in the docs. Without root, `network.NOT_HELD` comes to it."""

_ADOPT_S = 5.0
_CLOSE_S = 5.0

_log = logging.getLogger(__name__)


class DockerEngine(Engine):
    """Starts workers as containers of a Docker engine on this host.

    Args:
        settings: Directories, imports, declared devices, and the options of `hardening.Profile`.

    Raises:
        Failed: Devices or options cannot be read.
    """

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        self._declared = host.simulated(settings.simulate)
        self._site = Site(settings, hardening.profile(settings.options))
        self._lives = Lives(self._site, settings.records)
        self._environments = DockerEnvironments(self._site, settings.state)
        self._readying: Future[Ready] | None = None
        self._events: Events | None = None

    @property
    def _door(self) -> Door:
        return self._site.door

    def prepare(self) -> None:
        """Begin to make the image and the network, where they are not there."""
        self._readying = self._readying or self._lives.begin(self._site.ready)

    def describe(self) -> Capabilities:
        """Tell that workers are containers, that real GPUs are given to them at their start, and that they pause."""
        return Capabilities("docker", self._site.isolation, ("unix",), not self._site.has_gpus, pause=True)

    @property
    def builder(self) -> DockerBuilder:
        """What makes container images."""
        return self._environments.builder

    async def admit(self, environment: Environment) -> Environment:
        """Find the image, or the one with the Python that is named, and see where mounts and volumes can be."""
        return await self._environments.admit(environment)

    async def versions(self, environment: Environment) -> pb.Versions:
        """Return those of the image."""
        return await self._environments.versions(environment)

    def places(self, environment: Environment) -> Sequence[Mount]:
        """Return where a container has what it sees; see `binds`."""
        return self._environments.places(environment)

    def remarks(self, environment: Environment) -> Sequence[str]:
        """Say which mounts a worker has no rights to."""
        return self._environments.remarks(environment)

    async def inventory(self) -> Sequence[Device]:
        """Return real devices, declared ones and the processor."""
        ours = [worker.pid for worker in self._lives.workers.values() if worker.pid]
        return await asyncio.to_thread(host.inventory, self._declared, ours)

    async def check(self, spec: WorkerSpec) -> Verdict:
        """Compare the devices of a spec with what there is, and with what other workers have for good."""
        known = {device.id: device for device in await self.inventory()}
        if not all(name in known for name in spec.devices):
            return Verdict.UNSATISFIABLE
        taken = self._taken(spec)
        is_free = all(known[name].state == "free" and name not in taken for name in spec.devices)
        return Verdict.OK if is_free else Verdict.BUSY

    def _taken(self, spec: WorkerSpec) -> set[str]:
        """Return the devices that other workers have and do not share with this one."""
        others = (one.spec for one in self._lives.workers.values() if one.spec.worker_id != spec.worker_id)
        return {name for one in others if not (one.shared and spec.shared) for name in one.devices} - {CPU}

    # ---- beginnings ---------------------------------------------------------------------------------------

    async def launch(self, spec: WorkerSpec) -> None:
        """Record a worker, start its container, and tell when its keeper listens."""
        if spec.worker_id in self._lives.workers:
            return
        worker = Contained(spec, self._site.run(spec.worker_id))
        self._lives.workers[spec.worker_id] = worker
        try:
            await self._lives.record(worker)
            self._listen()
            worker.container = await self._made(worker)
            await self._lives.record(worker)
            await self._lives.call(self._door.start, worker.container)
        except (Failed, OSError, asyncio.CancelledError) as error:
            self._readying = None  # somebody may have deleted the image or the network since
            await asyncio.shield(self._lives.undo(worker))
            raise _refused(error) if isinstance(error, OSError) else error
        self._lives.tell(worker)
        self._lives.spawn(self._lives.bring_up(worker))

    async def _made(self, worker: Contained) -> str:
        """Return the id of a worker's container, which does not run yet."""
        if worker.spec.devices:
            await self._require(worker)
        ready = await self._ready()
        around = await self._lives.call(self._environments.around, worker.spec.environment)
        places = replace(await self._lives.call(self._site.places, worker.spec.worker_id, ready), around=around)
        command = worker.command(self.settings)
        arguments = hardening.container(worker.spec, ready.profile, places, self._site.installation, command)
        return await self._lives.call(self._door.create, arguments)

    async def _require(self, worker: Contained) -> None:
        """Refuse devices that are not there, or that another worker has for good."""
        taken = self._taken(worker.spec)
        missing = set(worker.spec.devices) - {device.id for device in await self.inventory()}
        for names, why in ((missing, "not there"), (taken & set(worker.spec.devices), "another worker's")):
            if names:
                raise Failed("unavailable", f"device {', '.join(sorted(names))} is {why}", "see `warmcell status`")

    async def _ready(self) -> Ready:
        """Wait for image and network; what failed is tried again by the next worker."""
        readying = self._readying = self._readying or self._lives.begin(self._site.ready)
        try:
            return await asyncio.shield(asyncio.wrap_future(readying))
        except Failed:
            self._readying = None
            raise

    # ---- ends ---------------------------------------------------------------------------------------------

    async def stop(self, worker_id: str, grace_s: float) -> None:
        """Send SIGTERM to the container's first process, and kill it after the grace."""
        worker = self._lives.workers.get(worker_id)
        if worker is None:
            return
        worker.ending = worker.ending or "stopped"
        with suppress(Failed):
            await self._lives.signal(worker, signal.SIGTERM)
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(worker.gone.wait(), grace_s)
            return
        await self.kill(worker_id)

    async def kill(self, worker_id: str) -> None:
        """Kill the container, also where its engine does not answer or somebody has paused it."""
        worker = self._lives.workers.get(worker_id)
        if worker is not None:
            worker.ending = worker.ending or "killed"
            await self._lives.killed(worker)

    # ---- a session's files, and rest ----------------------------------------------------------------------

    async def enter(self, worker_id: str, directory: Path) -> str:
        """Move a session's directory into the worker's room, having written down where it belongs."""
        worker = self._alive(worker_id)
        worker.home = str(directory)
        await self._lives.record(worker)
        try:
            name = await asyncio.to_thread(self._site.rooms.enter, worker_id, directory)
        except OSError as error:
            raise Failed("unavailable", f"the session's files in {directory} cannot be given to a container: {error}",
                         "keep the state directory on one file system") from error  # fmt: skip
        return f"{hardening.SESSION}/{name}"

    async def leave(self, worker_id: str) -> None:
        """Move the directory back."""
        worker = self._lives.workers.get(worker_id)
        if worker is not None and worker.phase is not Phase.EXITED:
            await self._lives.go_home(worker)
            await self._lives.record(worker)

    async def pause(self, worker_id: str) -> None:
        """Freeze every process of a worker's container."""
        worker = self._alive(worker_id)
        worker.resting = True
        await self._lives.call(self._door.pause, worker.container)

    async def resume(self, worker_id: str) -> None:
        """Let a worker's container go on."""
        worker = self._alive(worker_id)
        await self._lives.call(self._door.resume, worker.container)
        worker.resting = False

    def _alive(self, worker_id: str) -> Contained:
        worker = self._lives.workers.get(worker_id)
        if worker is None or worker.phase is Phase.EXITED:
            raise Failed("unavailable", f"worker {worker_id} has ended", "run the cell again")
        return worker

    # ---- watching -----------------------------------------------------------------------------------------

    def watch(self) -> AsyncIterator[WorkerEvent]:
        """Yield where every worker stands, then every change, until `close`."""
        return self._lives.watch()

    def _listen(self) -> None:
        if self._events is None:
            self._events = Events(self._door, self._happened, lambda: self._lives.spawn(self._tidy()))
            self._events.start()

    def _happened(self, action: str, worker_id: str) -> None:
        """Take what the engine tells of a container: what the line cannot."""
        worker = self._lives.workers.get(worker_id)
        if worker is None or worker.phase is Phase.EXITED:
            return
        if action in ("die", "destroy"):
            self._lives.spawn(self._lives.ended(worker))
        elif action == "pause" and not worker.resting:
            self._stranger_paused(worker)
        elif action == "unpause" and worker.phase is Phase.UNKNOWN:
            worker.phase = Phase.READY
            self._lives.tell(worker)

    def _stranger_paused(self, worker: Contained) -> None:
        """A session waits until whoever froze it lets it go on; a worker that nobody has used is replaced."""
        _log.warning("worker %s was paused by somebody else", worker.spec.worker_id)
        if worker.home:
            worker.phase = Phase.UNKNOWN
            self._lives.tell(worker)
        else:
            self._lives.spawn(self.kill(worker.spec.worker_id))

    async def list(self) -> Sequence[WorkerStatus]:
        """Adopt every recorded worker whose container lives, and remove what is left of the others."""
        found = {one.worker_id: one for one in await self._lives.call(self._door.list)}
        self._listen()
        for worker_id, record in (await self.settings.records.all()).items():
            if worker_id not in self._lives.workers:
                await self._adopt(worker_id, record, found.get(worker_id))
        await self._tidy()
        living = [worker for worker in self._lives.workers.values() if worker.phase is not Phase.EXITED]
        return [WorkerStatus(w.spec, w.phase, w.address, w.pid) for w in living]

    async def _adopt(self, worker_id: str, record: Mapping[str, object], found: Found | None) -> None:
        worker = Contained.recorded(worker_id, record, self._site.run(worker_id))
        if found is None or found.state not in ("running", "paused"):
            await self._lives.go_home(worker)
            await self._lives.undo(worker)
            return
        worker.container = found.id
        self._lives.workers[worker_id] = worker
        if found.state == "paused":
            await self._lives.call(self._door.resume, found.id)
        is_there = await self._lives.connect(worker, asyncio.get_running_loop().time() + _ADOPT_S)
        worker.was_ready = is_there and listens(worker.socket)
        worker.phase = Phase.READY if worker.was_ready else Phase.STARTING
        if not worker.was_ready:  # its gateway died between its start and the order, or it listens no more
            await self._lives.killed(worker)

    async def _tidy(self) -> None:
        """Remove what bears this installation's label and belongs to no worker, and end workers without a container."""
        with suppress(Failed):
            found = {one.worker_id: one for one in await self._lives.call(self._door.list)}
            for left in (one for one in found.values() if one.worker_id not in self._lives.workers):
                await self._lives.call(self._door.remove, left.id)
            for worker in list(self._lives.workers.values()):
                there = found.get(worker.spec.worker_id)
                if worker.container and (there is None or there.state in ("exited", "dead")):
                    await self._lives.ended(worker)
            for name in set(self._site.rooms.names()) - set(self._lives.workers):
                await asyncio.to_thread(self._site.clear, name, False)

    async def boot_log(self, worker_id: str) -> str:
        """Return what a keeper wrote, or its zygote where the keeper wrote nothing."""
        kept = await asyncio.to_thread(self._site.log, worker_id)
        worker = self._lives.workers.get(worker_id)
        if kept or worker is None or not worker.container:
            return kept
        try:
            return await self._lives.call(self._door.logs, worker.container, 30)
        except Failed:
            return ""

    async def retire(self) -> None:
        """Remove the network and its rules, where no container is left."""
        with suppress(Failed):
            await self._lives.call(self._site.retire)

    async def close(self) -> None:
        """Stop watching and leave the containers running."""
        self._site.closing = True
        if self._readying is not None:
            await asyncio.wait([asyncio.wrap_future(self._readying)], timeout=_CLOSE_S)
        if self._events is not None:
            await asyncio.to_thread(self._events.stop)
        self._lives.close()
        self._environments.close()
        self._door.close()


def _refused(error: OSError) -> Failed:
    return Failed("unavailable", f"a worker's container could not be prepared: {error}", "see `warmcell logs`")
