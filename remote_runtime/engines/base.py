"""What an engine is: the verbs by which workers come to life and die.

    pool --launch(spec)--> engine --watch()--> WorkerEvent --> pool

The pool chooses a `worker_id` and a secret, the engine starts that worker and reports what becomes of it. An
engine never runs user code, never retries and never restarts: the caller decides. Cell output does not pass
through it. A worker outlives its engine object (`close` leaves it running), so that a new gateway can adopt
it with `list`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from remote_runtime.engines.records import MemoryRecords, WorkerRecords
from remote_runtime.wire.failures import Failed

CPU = "cpu"
"""Id and model of the device that every runtime has."""


@dataclass(frozen=True)
class Device:
    """One accelerator as an engine sees it, or the machine's processor.

    Args:
        id: NVML UUID, "sim-A100-0", or "cpu".
        model: As the driver names it, or as it was declared.
        memory_bytes: None where the reading failed.
        simulated: Declared for trial; the code runs on the processor.
        index: Position among the devices of its kind.
        state: "free", "busy" (a process that is not ours computes on it) or "failed".
        holder: Who keeps it busy, such as "pid 4711 (python)".
    """

    id: str
    model: str
    memory_bytes: int | None = None
    simulated: bool = False
    index: int = 0
    state: str = "free"
    holder: str = ""


@dataclass(frozen=True)
class EngineSettings:
    """What every engine is made from.

    Args:
        state: Directory that outlives the gateway, for logs.
        runtime: Directory with a short path, for sockets.
        imports: Modules that a warm worker has imported already.
        simulate: Declared devices, such as "A100:2,A10G".
        spare_ttl_s: How long what serves only future workers stays after its last user.
        records: Where its workers are written down.
        start: How local workers start, where the engine has a choice: "auto", "fork" or "spawn".
        options: The engine's own, by name.
    """

    state: Path
    runtime: Path
    imports: tuple[str, ...] = ()
    simulate: str = ""
    spare_ttl_s: float = 120.0
    records: WorkerRecords = field(default_factory=MemoryRecords)
    start: str = "auto"
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Starting:
    """How an engine's workers come to life.

    Args:
        mode: Such as "fork" or "spawn".
        why: In words, for people.
    """

    mode: str
    why: str


@dataclass(frozen=True)
class Capabilities:
    """What an engine can do.

    Args:
        engine: Its entry point's name.
        isolation: What stands between two workers, such as ("process",).
        addresses: Kinds of worker addresses: "unix", "tcp".
        late_devices: Whether a worker takes its devices when it is claimed rather than when it starts.
        pause: Whether a worker can be paused.
    """

    engine: str
    isolation: tuple[str, ...]
    addresses: tuple[str, ...]
    late_devices: bool
    pause: bool = False


@dataclass(frozen=True)
class WorkerSpec:
    """What to launch.

    Args:
        worker_id: Chosen by the caller; launching it again is the same worker.
        secret: What the gateway shows to this worker's keeper.
        devices: Ids to reserve; empty where the engine hands them out late.
        labels: Facts of the caller, kept and listed unread.
    """

    worker_id: str
    secret: str = field(repr=False)
    devices: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


class Phase(str, Enum):
    """Where a worker stands in its life."""

    STARTING = "starting"
    READY = "ready"
    EXITED = "exited"
    UNKNOWN = "unknown"


class Verdict(str, Enum):
    """Answer of `Engine.check`."""

    OK = "ok"
    BUSY = "busy"
    UNSATISFIABLE = "unsatisfiable"


@dataclass(frozen=True)
class Exit:
    """How a worker ended.

    Args:
        reason: "stopped", "killed", "memory", "lease", "start-failed", "node-lost" or "unknown".
        code: Exit status, None where it ended by a signal or nobody saw it.
        signal: Signal number, None where it ended by itself.
        detail: What else is known of it, as words that follow "its worker ended:"; "" for nothing.
    """

    reason: str
    code: int | None = None
    signal: int | None = None
    detail: str = ""


@dataclass(frozen=True)
class WorkerEvent:
    """One step in a worker's life.

    Args:
        worker_id: Whose.
        phase: The new phase.
        address: Where its keeper listens, once READY: "unix:PATH" or "HOST:PORT".
        pid: Of the keeper, 0 where unknown.
        exit: Set when EXITED.
    """

    worker_id: str
    phase: Phase
    address: str = ""
    pid: int = 0
    exit: Exit | None = None


@dataclass(frozen=True)
class WorkerStatus:
    """A worker that an engine knows, as `Engine.list` tells it."""

    spec: WorkerSpec
    phase: Phase
    address: str = ""
    pid: int = 0


class Engine(ABC):
    """Starts and stops workers on one kind of infrastructure.

    Args:
        settings: Kept; nothing is connected or started before `prepare`.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings

    def prepare(self) -> None:  # noqa: B027 - most engines have nothing to begin
        """Begin what takes long, without waiting for it.

        The gateway's entry calls it once, before the event loop and before its own heavy imports. Afterwards
        the engine may have a child process. Calling it again changes nothing.
        """

    @abstractmethod
    def describe(self) -> Capabilities:
        """Tell what this engine can do; the gateway calls it at any time, the answer never changes."""

    @property
    def starting(self) -> Starting | None:
        """How workers start here, for a status; None while that is not known, or where there is but one way."""
        return None

    @abstractmethod
    async def inventory(self) -> Sequence[Device]:
        """Return the devices as they are now.

        The gateway calls it before placing and for every status. It never raises: what cannot be read is
        None or left out. The answer is advisory; a device is taken only by a worker's claim.
        """

    @abstractmethod
    async def check(self, spec: WorkerSpec) -> Verdict:
        """Tell whether a spec could run now, later or never; asked before `launch`, it changes nothing."""

    @abstractmethod
    async def launch(self, spec: WorkerSpec) -> None:
        """Start a worker and return once it is on its way.

        The pool calls it; READY or EXITED follows on `watch`. Launching a known `worker_id` again does
        nothing.

        Raises:
            Failed: code "unavailable" when the engine cannot start workers now, "disk-full" when the worker
                could not be recorded; afterwards no such worker exists.
        """

    @abstractmethod
    def watch(self) -> AsyncIterator[WorkerEvent]:
        """Yield first where every known worker stands, then every change, in order per worker.

        The pool follows it for as long as it lives; it ends after `close`.
        """

    @abstractmethod
    async def list(self) -> Sequence[WorkerStatus]:
        """Return every living worker of this installation; a new gateway asks once, to adopt them.

        Workers that ended while nobody watched are forgotten, and their files removed.
        """

    @abstractmethod
    async def stop(self, worker_id: str, grace_s: float) -> None:
        """Ask a worker to end and kill it after the grace; the pool calls it, any number of times.

        Afterwards the worker is gone, or was gone already.

        Args:
            worker_id: Which; one that is not known is gone.
            grace_s: Seconds between asking and killing.
        """

    @abstractmethod
    async def kill(self, worker_id: str) -> None:
        """Kill a worker without grace, any number of times; EXITED follows on `watch` where it was alive."""

    async def enter(self, worker_id: str, directory: Path) -> str:
        """Let a worker see a session's directory, and return where it does; the gateway calls it before a claim.

        Until the worker has ended or `leave` is called, the directory may be elsewhere than the caller has put it.

        Args:
            worker_id: Which; it is ready.
            directory: Of the session, there and empty or not.

        Raises:
            Failed: The worker is gone, or cannot get it.
        """
        return str(directory)

    async def leave(self, worker_id: str) -> None:  # noqa: B027 - most workers see the host's own files
        """Take the directory away from a worker that was not claimed; afterwards it is where it was."""

    async def pause(self, worker_id: str) -> None:
        """Freeze a worker that nobody uses, where `Capabilities.pause` says so; the pool calls it.

        Raises:
            Failed: This engine cannot, or the worker is gone.
        """
        raise Failed("unavailable", f"the engine cannot pause worker {worker_id}", "keep it warm instead")

    async def resume(self, worker_id: str) -> None:
        """Let a paused worker go on; it answers again when this returns.

        Raises:
            Failed: This engine cannot, or the worker is gone.
        """
        raise Failed("unavailable", f"the engine cannot resume worker {worker_id}", "use another one")

    @abstractmethod
    async def boot_log(self, worker_id: str) -> str:
        """Return the last lines a worker wrote while starting, "" where there are none; never cell output."""

    @abstractmethod
    async def retire(self) -> None:
        """End what serves only future workers; the gateway calls it last, when no worker is left."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of everything, end `watch`, leave the workers running; the gateway calls it when it ends."""
