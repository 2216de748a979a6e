"""What an engine is: the verbs by which workers come to life and die.

    pool --launch(spec)--> engine --watch()--> WorkerEvent --> pool

The pool chooses a `worker_id` and a secret, the engine starts that worker and reports what becomes of it. An
engine never runs user code, never retries and never restarts: the caller decides. Cell output does not pass
through it. A worker outlives its engine object (`close` leaves it running), so that a new gateway can adopt
it with `list`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from remote_runtime.engines.building import Builder
from remote_runtime.engines.facts import (
    CPU,
    Capabilities,
    Device,
    EngineSettings,
    Exit,
    Phase,
    Starting,
    Verdict,
    WorkerEvent,
    WorkerSpec,
    WorkerStatus,
)
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import versions
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.specs import OWN, Environment, Mount

__all__ = [
    "CPU",
    "Capabilities",
    "Device",
    "EngineSettings",
    "Exit",
    "Phase",
    "Starting",
    "Verdict",
    "WorkerEvent",
    "WorkerSpec",
    "WorkerStatus",
    "Engine",
]


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

    @property
    def builder(self) -> Builder | None:
        """What builds this engine's images; None where it runs none."""
        return None

    async def admit(self, environment: Environment) -> Environment:
        """Return an environment as this engine would make it: names resolved, so that equal ones are equal.

        The gateway calls it before a session is placed; nothing is made yet. The runtime's own is always admitted.

        Raises:
            Failed: code "unsupported" where this engine cannot make such a worker, "not-found" where what it
                names is not there.
        """
        if environment != OWN:
            what, hint = _first_wish(environment)
            engine = self.describe().engine
            raise Failed("unsupported", f"the {engine} engine cannot give a worker {what}", hint, {"engine": engine})
        return environment

    async def versions(self, environment: Environment) -> pb.Versions:
        """Return the versions that a worker of an admitted environment has, before there is one.

        The gateway compares them with a kernel's when it opens a session.
        """
        return versions.here()

    def places(self, environment: Environment) -> Sequence[Mount]:
        """Return where a worker of an admitted environment sees its mounts and volumes.

        The gateway asks before a claim. A relative target is a link that it makes in the session's working directory;
        the keeper answers about files at all of the sources, which are paths that the worker can open.
        """
        return ()

    def remarks(self, environment: Environment) -> Sequence[str]:
        """Return in sentences what this engine does not hold of an admitted environment; for `%gpu use`."""
        return ()

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

    def bound(self, devices: Sequence[Device]) -> tuple[str, ...]:
        """Return the ids of those devices that a worker must be started with; the pool keeps workers apart by them."""
        return () if self.describe().late_devices else tuple(device.id for device in devices if _is_real(device))
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


def _is_real(device: Device) -> bool:
    return not device.simulated and device.id != CPU


def _first_wish(environment: Environment) -> tuple[str, str]:
    """Return in words what an environment asks for first, and how to do without."""
    wishes = (
        (environment.image, f"the image {environment.image}", "leave `--image` out"),
        (environment.python, f"the interpreter {environment.python}", "leave `--python` out"),
        (environment.mounts, "mounted directories", "leave `--mount` out"),
        (environment.volumes, "volumes", "leave `--volume` out"),
        (environment.block_network, "no network at all", "leave `--block-network` out, or use the docker engine"),
    )
    return next((what, hint) for wish, what, hint in wishes if wish)
