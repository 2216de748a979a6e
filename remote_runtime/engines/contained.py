"""One worker in its container: what is known of it, what its keeper is told, and how its end is named.

    spec, directory for its sockets -> Contained <-> facts of the records          Found, asked -> ending -> Exit
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from remote_runtime.engines import hardening, pids
from remote_runtime.engines.base import EngineSettings, Exit, Phase, WorkerEvent, WorkerSpec
from remote_runtime.engines.docker_door import Found
from remote_runtime.engines.line import Line
from remote_runtime.wire import forking
from remote_runtime.wire.specs import environment_from

ZYGOTE, KEEPER, LOG = "z.sock", "k.sock", "keeper.log"
"""Names in the directory that a container and the host share."""

_LOST = {
    "gone": "its container was removed by somebody else",
    "away": "its container has ended, and the Docker engine does not answer to tell why",
}

_SIGNALLED = 128
_KILLED = 9


@dataclass(eq=False)
class Contained:
    """A worker and its container.

    Args:
        spec: What was launched.
        run: The host's directory with its sockets.
        container: The engine's id, "" before there is one.
        home: Where the directory that is in its room belongs, "" where none is.
        ending: Why this engine ended it, "" where it did not.
        resting: Whether this engine has paused it.
        is_ending: Whether its end is being looked into.
    """

    spec: WorkerSpec
    run: Path
    container: str = ""
    home: str = ""
    phase: Phase = Phase.STARTING
    was_ready: bool = False
    ending: str = ""
    resting: bool = False
    is_ending: bool = False
    exit: Exit | None = None
    line: Line | None = None
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def recorded(cls, worker_id: str, facts: Mapping[str, Any], run: Path) -> Contained:
        """Return a worker as it was written down."""
        spec = WorkerSpec(
            worker_id, facts["secret"], tuple(facts.get("devices", ())), facts.get("labels", {}),
            environment_from(facts.get("environment")), facts.get("shared", False),
        )  # fmt: skip
        return cls(spec, run, facts.get("container", ""), facts.get("home", ""))

    def facts(self) -> dict[str, Any]:
        """Return what the next gateway must know."""
        spec = self.spec
        return {
            "engine": "docker", "secret": spec.secret, "devices": list(spec.devices), "labels": dict(spec.labels),
            "container": self.container, "home": self.home,
            "environment": spec.environment.facts, "shared": spec.shared,
        }  # fmt: skip

    @property
    def zygote(self) -> Path:
        """Where its zygote listens."""
        return self.run / ZYGOTE

    @property
    def socket(self) -> Path:
        """Where its keeper listens."""
        return self.run / KEEPER

    @property
    def address(self) -> str:
        """The same, for clients."""
        return f"unix:{self.socket}"

    @property
    def mark(self) -> pids.Mark | None:
        """Its container's first process, None where it was not met."""
        return self.line.mark if self.line is not None else None

    @property
    def pid(self) -> int:
        """Of its container's first process, as the host numbers it; 0 where unknown."""
        return self.mark.pid if self.mark is not None else 0

    def event(self) -> WorkerEvent:
        """Return where it stands."""
        return WorkerEvent(self.spec.worker_id, self.phase, self.address, self.pid, self.exit)

    def command(self, settings: EngineSettings) -> list[str]:
        """Return the arguments of its container's first process; its secret is not among them."""
        imports = ",".join(settings.imports)
        return [
            "--once", "--socket", f"{hardening.RUN}/{ZYGOTE}", "--imports", imports,
            "--ttl-s", str(settings.spare_ttl_s), "--start", settings.start,
        ]  # fmt: skip

    def order(self) -> dict[str, Any]:
        """Return what its zygote is told: paths as the container sees them."""
        return {
            "worker_id": self.spec.worker_id, "secret": self.spec.secret,
            "socket": f"{hardening.RUN}/{KEEPER}", "log": f"{hardening.RUN}/{LOG}",
            "directory": f"{hardening.SESSION}/home",
        }  # fmt: skip


def ending(found: Found, asked: str, memory_bytes: int) -> Exit:
    """Return how a worker ended.

    Args:
        found: Its container after the end; "away" where the engine does not answer, "gone" where it has lost it.
        asked: Why this engine ended it, "" where it did not.
        memory_bytes: Its limit, 0 for none.
    """
    if found.code is None:
        return Exit(asked or "node-lost", detail="" if asked else _LOST.get(found.state, "its container was cut off"))
    code = found.code if found.code < _SIGNALLED else None
    number = found.code - _SIGNALLED if found.code > _SIGNALLED else None
    if found.out_of_memory and not asked and (number == _KILLED or code == forking.START_FAILED):
        return Exit("memory", code, number, f"its container passed the memory limit of {_size(memory_bytes)} (peak -)")
    if number is not None:
        return Exit(asked or "killed", None, number)
    return Exit(asked or forking.EXIT_REASONS.get(found.code, "unknown"), code)


def _size(size_bytes: int) -> str:
    """Write a limit as a worker writes its own; what a container that is gone held at most is not known."""
    if not size_bytes:
        return "-"
    return f"{size_bytes / 2**30:.1f} GiB" if size_bytes >= 2**30 else f"{size_bytes / 2**20:.0f} MiB"
