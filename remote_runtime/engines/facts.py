"""What engines and their callers tell each other, as frozen data: devices, workers, how they ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from remote_runtime.engines.records import MemoryRecords, WorkerRecords
from remote_runtime.wire.specs import OWN, Environment

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
        free_bytes: Memory that nobody has taken, None where the reading failed or means nothing.
    """

    id: str
    model: str
    memory_bytes: int | None = None
    simulated: bool = False
    index: int = 0
    state: str = "free"
    holder: str = ""
    free_bytes: int | None = None


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
        environment: What it is made with, as `Engine.admit` returned it.
        shared: Whether others may be started with its devices too; who fits beside whom is the caller's matter.
    """

    worker_id: str
    secret: str = field(repr=False)
    devices: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    environment: Environment = OWN
    shared: bool = False


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
