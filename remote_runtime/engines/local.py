"""A worker on this machine as the process engine knows it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from remote_runtime.engines import pids
from remote_runtime.engines.base import Exit, Phase, WorkerEvent, WorkerSpec


@dataclass(eq=False)
class Local:
    """What is known of one worker.

    Args:
        spec: As it was launched.
        socket: Where its keeper listens.
        mark: The keeper, once there is one.
        phase: Where it stands.
        was_ready: Whether it ever listened.
        ending: Reason of its end, where the engine ended it.
        exit: How it ended.
        unwatch: Stops watching for its end.
        gone: Set when it is forgotten.
    """

    spec: WorkerSpec
    socket: Path
    mark: pids.Mark | None = None
    phase: Phase = Phase.STARTING
    was_ready: bool = False
    ending: str = ""
    exit: Exit | None = None
    unwatch: Callable[[], None] = lambda: None
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def pid(self) -> int:
        """Of the keeper, 0 before it is there."""
        return self.mark.pid if self.mark else 0

    def event(self) -> WorkerEvent:
        """Return where it stands."""
        return WorkerEvent(self.spec.worker_id, self.phase, f"unix:{self.socket}", self.pid, self.exit)


def listens(path: Path) -> bool:
    """Tell whether somebody listens on a Unix socket."""
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.connect(str(path))
        return True
    return False
