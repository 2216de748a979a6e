"""How a zygote brings its children to life: as forks of itself, or as interpreters of their own.

    asked, system, threads that outlive a fork --choose--> Choice(start, why)
    fork:  os.fork --> forked.keeper | forked.user
    spawn: python -m remote_runtime.worker --life keeper | user --> `spawned` --> the same two functions

Both ways stand behind one protocol and end in the same code, so nobody but the zygote knows which it was.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from socket import socket
from typing import Any, Protocol

from remote_runtime.wire import forking
from remote_runtime.worker import forked, launched, scrub, tuning
from remote_runtime.worker.threads import fork_quietly


@dataclass(frozen=True)
class Choice:
    """How children start.

    Args:
        start: "fork" or "spawn".
        why: In words, for people.
    """

    start: str
    why: str


def choose(asked: str, platform: str, threads: Mapping[str, int]) -> Choice:
    """Decide how children start.

    Args:
        asked: "auto", "fork" or "spawn".
        platform: As `sys.platform`.
        threads: Module -> threads that it started when it was imported and that a fork would silently lack.
    """
    named = ", ".join(f"{module} ({_counted(count)})" for module, count in sorted(threads.items()))
    unsafe = f"modules imported ahead run threads, which no fork takes along: {named}" if named else ""
    if asked != forking.AUTO:
        return Choice(asked, f"the setting `start` is {asked}" + (f", although {unsafe}" if unsafe else ""))
    if not platform.startswith("linux"):
        return Choice(forking.SPAWN, f"a fork is not safe on {platform}")
    if unsafe:
        return Choice(forking.SPAWN, unsafe)
    return Choice(forking.FORK, "no module imported ahead runs a thread")


def _counted(threads: int) -> str:
    return f"{threads} thread{'s' if threads > 1 else ''}"


class Start(Protocol):
    """One way to start children."""

    def keeper(self, message: Mapping[str, Any], ours: socket, theirs: socket) -> int:
        """Start a keeper and return its pid.

        Args:
            message: The engine's request.
            ours: The zygote's end of the line to it.
            theirs: Its own end.
        """

    def user(self, fds: Sequence[int]) -> int:
        """Start a user process on channel, stdout, stderr and tail, and return its pid."""


class Forking:
    """Children are copies that have everything imported.

    Args:
        user: Module whose `main` is the user process.
        shed: In a child: lets go of what is the zygote's, and of the sockets given.
    """

    def __init__(self, user: str, shed: Callable[[Sequence[socket]], None]) -> None:
        self._user, self._shed = user, shed

    def keeper(self, message: Mapping[str, Any], ours: socket, theirs: socket) -> int:
        """See `Start`."""
        order = tuning.order(message)
        return self._fork(lambda: forked.keeper(order, theirs), ours)

    def user(self, fds: Sequence[int]) -> int:
        """See `Start`."""
        return self._fork(lambda: forked.user(self._user, fds))

    def _fork(self, life: Callable[[], int], *ours: socket) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = fork_quietly()
        if pid == 0:
            forked.become(lambda: self._shed(ours) or life())
        return pid


class Spawning:
    """Children are fresh interpreters, which import for themselves.

    Args:
        socket_path: The zygote's, so that whoever lists processes sees whose child one is, as with a fork.
        user: Module whose `main` is the user process.
        imports: Modules that a user process imports before it says that it is ready.
    """

    def __init__(self, socket_path: str, user: str, imports: Sequence[str]) -> None:
        self._common = ["--socket", socket_path, "--imports", ",".join(imports), "--user", user]

    def keeper(self, message: Mapping[str, Any], ours: socket, theirs: socket) -> int:
        """See `Start`."""
        tuning.order(message)  # what is wrong with it is the engine's to hear, not the child's
        forking.send(ours, message)  # not on the command line, which everybody on the machine can read
        return self._spawn("keeper", [theirs.fileno()])

    def user(self, fds: Sequence[int]) -> int:
        """See `Start`."""
        return self._spawn("user", fds)

    def _spawn(self, life: str, fds: Sequence[int]) -> int:
        command = [sys.executable, *launched.words(), "--life", life, "--fds", ",".join(map(str, fds)), *self._common]
        for fd in fds:
            os.set_inheritable(fd, True)  # the zygote closes its copies before it starts anybody else
        return os.posix_spawn(sys.executable, command, environment())


def environment() -> dict[str, str]:
    """Return what a spawned child inherits; what the zygote has set for itself alone is left out."""
    return {name: value for name, value in os.environ.items() if name not in scrub.OWN}
