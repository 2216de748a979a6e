"""The zygote as the engine sees it: started or found, asked for keepers, listened to for exits.

    Zygote.keeper(message) --packet--> zygote --fork--> keeper
           on_exit(id, Exit) <--packet--          <--exit--

It is one process per state directory that has imported the heavy libraries and forks. It lives apart from the
gateway: a new gateway connects to the one it finds. When it dies it is started again, later each time it
fails.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import resource
import signal
import site
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remote_runtime.engines import pids
from remote_runtime.engines.base import EngineSettings, Exit, Starting
from remote_runtime.engines.records import remove
from remote_runtime.wire import forking, versions
from remote_runtime.wire.failures import Failed

MODULE = "remote_runtime.worker"
"""What a zygote is; started by name, because engines import nothing of it."""

CONNECT_S = 30.0
"""From the start of a zygote to its listening; it imports only after that."""

_TRY_S = 0.01
_BACK_OFF_S = 30.0
_TAIL_BYTES = 4096


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a zygote is started with: it must import this package, from a source checkout too.

    What user code must not inherit the worker removes itself.
    """
    root = str(Path(__file__).resolve().parents[2])
    if root in (*site.getsitepackages(), site.getusersitepackages()):
        return dict(environment)
    paths = [root, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    return {**environment, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


@dataclass(frozen=True)
class Place:
    """Where a zygote with given settings listens and writes."""

    socket: Path
    log: Path


def place(settings: EngineSettings, python: str = "") -> Place:
    """Return a zygote's place; another interpreter, release, start or list of imports has another one."""
    facts = "\n".join((python or sys.executable, versions.VERSION, settings.start, *settings.imports))
    tag = hashlib.sha256(facts.encode()).hexdigest()[:8]
    log = f"zygote-{tag}.log" if python else "zygote.log"
    return Place(settings.runtime / f"z-{tag}.sock", settings.state / log)


class Zygote:
    """A connection to the zygote, made when it is needed and made again when it was lost.

    Args:
        settings: Of the engine.
        on_exit: Called with worker id and how it ended, for keepers that this connection asked for.
        python: Interpreter; "" is this one.
    """

    def __init__(
        self, settings: EngineSettings, on_exit: Callable[[str, Exit], None], python: str = ""
    ) -> None:
        self._settings, self._on_exit = settings, on_exit
        self._python, self._place = python or sys.executable, place(settings, python)
        # Taken now: what this process sets for its own libraries later is not for user code.
        self._environment = worker_environment(os.environ)
        self._child: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._pending: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._connecting = asyncio.Lock()
        self._again: asyncio.Task[None] | None = None
        self._failures_count = 0
        self._closed = False
        self.mark: pids.Mark | None = None
        self.starting: Starting | None = None

    def spawn(self) -> None:
        """Start the process unless one listens already; it goes on by itself."""
        if self._child is not None and self._child.poll() is None:
            return
        with suppress(OSError), _dial(self._place.socket):
            return
        remove(self._place.socket)
        command = [self._python, "-m", MODULE, "--socket", str(self._place.socket)]
        command += ["--imports", ",".join(self._settings.imports), "--ttl-s", str(self._settings.spare_ttl_s)]
        command += ["--start", self._settings.start]
        with open(os.open(self._place.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as log:
            self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env=self._environment, cwd=self._settings.state,
            )  # fmt: skip
        with suppress(OSError, ValueError):
            resource.prlimit(self._child.pid, resource.RLIMIT_CORE, (0, 0))

    async def keeper(self, message: Mapping[str, Any]) -> int:
        """Ask for a keeper and return its pid.

        Args:
            message: The request, without its "op".

        Raises:
            Failed: code "unavailable", when no zygote can be started or it refused.
        """
        reply = await self._ask(message["worker_id"], {"op": "keeper", **message})
        if reply.get("op") != "started":
            raise _unavailable(f"the zygote refused a worker: {reply.get('message', reply)}", self.log())
        return int(reply["pid"])

    async def hello(self) -> dict[str, Any]:
        """Return what the zygote tells of itself: its pid, what it imported, its workers.

        Raises:
            Failed: code "unavailable", when no zygote can be started.
        """
        return await self._ask("", {"op": "hello"})

    async def meet(self) -> None:
        """Connect, so that the end of the process is seen; that it cannot be started is said later."""
        with suppress(Failed):
            await self._connected()

    async def _ask(self, key: str, message: Mapping[str, Any]) -> dict[str, Any]:
        connection = await self._connected()
        reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._pending[key] = reply
        try:
            forking.send(connection, dict(message))
            return await reply
        except OSError as error:
            raise _unavailable(f"the zygote cannot be asked: {error}", self.log()) from error
        finally:
            self._pending.pop(key, None)

    async def _connected(self) -> socket.socket:
        async with self._connecting:
            if self._socket is None:
                self._socket = await self._connect()
            return self._socket

    async def _connect(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CONNECT_S
        self.spawn()
        while True:
            try:
                connection = _greeted(self._place.socket)
                break
            except OSError as error:
                self._check_start(error, loop.time() > deadline)
            await asyncio.sleep(_TRY_S)
        connection.setblocking(False)
        self.mark = pids.mark(_peer_pid(connection))
        loop.add_reader(connection, self._receive)
        return connection

    def _check_start(self, error: OSError, late: bool) -> None:
        if self._child is None or self._child.poll() is not None:
            code = self._child.returncode if self._child else None
            raise _unavailable(f"the process that starts workers ended with code {code}", self.log()) from error
        if late:
            raise _unavailable(
                f"the process that starts workers is silent since {CONNECT_S:.0f} s", self.log()
            ) from error

    def _receive(self) -> None:
        try:
            received = forking.receive(self._socket) if self._socket else None
        except BlockingIOError:
            return
        except (OSError, ValueError):
            received = None
        if received is None:
            self._lost()
            return
        message = received[0]
        if message.get("op") == "exited":
            self._failures_count = 0
            self._on_exit(message["worker_id"], exit_of(message.get("code"), message.get("signal")))
            return
        if message.get("op") == "hello":
            self.starting = Starting(message["start"], message["why"])
        pending = self._pending.get(message.get("worker_id", ""))
        if pending is not None and not pending.done():
            pending.set_result(message)

    def _lost(self) -> None:
        self._drop()
        for reply in self._pending.values():
            if not reply.done():
                reply.set_exception(_unavailable("the process that starts workers ended", self.log()))
        if not self._closed:
            logging.getLogger(__name__).warning("the zygote ended and is started again")
            self._again = asyncio.ensure_future(self._restart())

    async def _restart(self) -> None:
        """Bring a zygote back, for the keepers that will want a new user process from it."""
        while not self._closed:
            await asyncio.sleep(min(_BACK_OFF_S, 0.05 * 2**self._failures_count))
            self._failures_count += 1
            with suppress(Failed):
                await self._connected()
                return

    def _drop(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
        self._socket = None
        if self._child is not None:
            self._child.poll()

    def close(self) -> None:
        """Let go of the process and leave it running."""
        self._closed = True
        if self._again is not None:
            self._again.cancel()
        self._drop()
        if self._child is not None and self._child.poll() is None:
            _left_running.append(self._child)

    async def end(self, grace_s: float) -> None:
        """End the process.

        Args:
            grace_s: Seconds between asking and killing.
        """
        found = self.mark or self._found()
        self.close()
        if found is not None and found.send(signal.SIGTERM) and not await pids.ended(found, grace_s):
            found.send(signal.SIGKILL)
            await pids.ended(found, grace_s)
        if self._child is not None:
            self._child.poll()
        remove(self._place.socket)

    def _found(self) -> pids.Mark | None:
        """Return the process that listens, where this object has not connected to it."""
        with suppress(OSError), _dial(self._place.socket) as connection:
            return pids.mark(_peer_pid(connection))
        return pids.mark(self._child.pid) if self._child else None

    def log(self) -> str:
        """Return the last lines that the process wrote."""
        return tail(self._place.log)


_left_running: list[subprocess.Popen[bytes]] = []
"""Zygotes that outlive the object that started them on purpose; one that is collected would warn."""


def exit_of(code: int | None, number: int | None) -> Exit:
    """Return how a worker ended, from what its parent saw."""
    if number is not None:
        return Exit("killed", None, number)
    return Exit("unknown" if code is None else forking.EXIT_REASONS.get(code, "unknown"), code)


def tail(path: Path) -> str:
    """Return the end of a log, "" where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace").strip()
    except OSError:
        return ""


def _dial(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def _greeted(path: Path) -> socket.socket:
    """Connect and ask how children start, which is answered when the zygote has imported and knows."""
    connection = _dial(path)
    try:
        forking.send(connection, {"op": "hello"})
    except OSError:
        connection.close()
        raise
    return connection


def _peer_pid(connection: socket.socket) -> int:
    """Return the pid of the process that listens at the other end, as the kernel knows it."""
    return struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]


def _unavailable(what: str, log: str) -> Failed:
    last = log.splitlines()[-1] if log else ""
    return Failed("unavailable", f"{what}: {last}" if last else what, "see `warmcell logs`", {"log": log})
