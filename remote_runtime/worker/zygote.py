"""The zygote: imports once, then forks keepers and user processes that have everything imported already.

    engine --keeper--> fork --> keeper --user--> fork --> user process        (or a fresh interpreter, see `starts`)
    a child ends --> whoever asked for it is told; a keeper takes its user process along

It runs no thread, opens no channel, computes nothing: none of that survives a fork. It lives apart from the
gateway and ends by itself when it has had no engine and no child for a while.
"""

from __future__ import annotations

import gc
import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from remote_runtime.wire import forking
from remote_runtime.worker import ahead, starts, tuning

_STOP_S = 3.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What a zygote is started with.

    Args:
        socket: Path to listen on.
        imports: Modules to import ahead; those that are not installed are skipped.
        ttl_s: Life without engine and child.
        user: Module whose `main` is the user process.
        start: "fork", "spawn", or "auto": a fork where it is safe.
        once: End with the first keeper, and with its exit code: the zygote is the first process of a container.
    """

    socket: str
    imports: tuple[str, ...] = ()
    ttl_s: float = 120.0
    user: str = "remote_runtime.worker.user"
    start: str = forking.AUTO
    once: bool = False


@dataclass(eq=False)
class _Peer:
    """A connection; `worker_id` is set where a keeper is at its other end."""

    sock: socket.socket
    worker_id: str = ""


@dataclass(frozen=True)
class _Born:
    """A child, and who is told of its end."""

    pid: int
    kind: str
    worker_id: str
    asker: _Peer


@dataclass
class _Household:
    peers: dict[int, _Peer] = field(default_factory=dict)
    born: dict[int, _Born] = field(default_factory=dict)

    def keeper_of(self, worker_id: str) -> _Peer | None:
        return next((p for p in self.peers.values() if p.worker_id == worker_id), None)

    def of_kind(self, kind: str) -> list[_Born]:
        return [b for b in self.born.values() if b.kind == kind]


class Zygote:
    """Serves forks.

    Args:
        settings: Where it listens and what it imports.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._house = _Household()
        self._brought = ahead.Brought()
        self._choice = starts.Choice(settings.start, "")
        self._stopping_at: float | None = None
        self._needed_at = time.monotonic()
        self._served: int | None = None

    def serve(self) -> int:
        """Serve until nobody needs it or SIGTERM comes; returns the exit code."""
        logging.basicConfig(level=logging.INFO, format="%(asctime)s zygote %(levelname)s %(message)s")
        with suppress(PermissionError):  # it leads a session already
            os.setsid()
        if self._settings.once:  # the first process of a container ignores whatever it has no handler for
            signal.signal(signal.SIGTERM, lambda number, frame: os._exit(forking.STOPPED))
        self._listener = _listen(self._settings.socket)
        self._start = self._prepare()
        log.info("workers start by %s: %s", self._choice.start, self._choice.why)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._watch_children()
        try:
            self._needed_at = time.monotonic()
            while not self._over() or self._selector.select(0):  # one that has just come is not left standing
                for key, _ in self._selector.select(self._wait_s()):
                    key.data()
        finally:
            with suppress(OSError):
                os.unlink(self._settings.socket)
        return (self._served or 0) if self._settings.once else 0

    def _prepare(self) -> starts.Start:
        """Import what children shall have, unless no child can have it, and choose how they start."""
        own, asked, platform = self._settings, self._settings.start, sys.platform
        self._choice = starts.choose(asked, platform, {})
        if self._choice.start == forking.FORK:
            self._brought = ahead.bring((*ahead.USER, *ahead.KEEPER, own.user), own.imports)
            self._choice = starts.choose(asked, platform, self._brought.outliving_a_fork())
        if self._choice.start == forking.SPAWN:
            return starts.Spawning(own.socket, own.user, own.imports)
        gc.collect()
        gc.freeze()
        return starts.Forking(own.user, self._shed)

    # ---- connections --------------------------------------------------------------------------------------

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        self._add(_Peer(sock))

    def _add(self, peer: _Peer) -> None:
        self._house.peers[peer.sock.fileno()] = peer
        self._selector.register(peer.sock, selectors.EVENT_READ, lambda: self._hear(peer))

    def _hear(self, peer: _Peer) -> None:
        try:
            heard = forking.receive(peer.sock)
        except ValueError as error:
            return self._refuse(peer, {}, str(error))
        if heard is None:
            return self._lose(peer)
        message, fds = heard
        try:
            self._answer(peer, message, fds)
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s is refused: %r", message.get("op"), error)
            self._refuse(peer, message, f"{type(error).__name__}: {error}")
        finally:
            for fd in fds:
                os.close(fd)
        return None

    def _answer(self, peer: _Peer, message: Mapping[str, Any], fds: Sequence[int]) -> None:
        op = message.get("op")
        if op == "keeper":
            self._make_keeper(peer, message)
        elif op == "user":
            self._make_user(peer, fds)
        elif op == "hello":
            forking.send(peer.sock, self._hello())
        else:
            raise ValueError(f"no such op: {op!r}")

    def _hello(self) -> dict[str, Any]:
        workers = [born.worker_id for born in self._house.of_kind("keeper")]
        told = {"op": "hello", "pid": os.getpid(), "imported": self._brought.versions, "workers": workers}
        return {**told, "start": self._choice.start, "why": self._choice.why}

    def _refuse(self, peer: _Peer, message: Mapping[str, Any], why: str) -> None:
        told = {
            "op": "refused",
            "asked": message.get("op"),
            "worker_id": message.get("worker_id"),
            "message": why,
        }
        self._send(peer, told)

    def _send(self, peer: _Peer, message: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
        with suppress(OSError):  # whoever is gone loses only the report
            forking.send(peer.sock, message, fds)

    def _lose(self, peer: _Peer) -> None:
        self._selector.unregister(peer.sock)
        del self._house.peers[peer.sock.fileno()]
        peer.sock.close()
        for born in self._house.of_kind("keeper"):
            keeper = self._house.keeper_of(born.worker_id)
            if born.asker is peer and keeper is not None:
                self._send(keeper, {"op": "orphaned"})

    # ---- births --------------------------------------------------------------------------------------------

    def _make_keeper(self, engine: _Peer, message: Mapping[str, Any]) -> None:
        worker_id = tuning.order(message).worker_id
        if self._stopping_at is not None or any(b.worker_id == worker_id for b in self._house.born.values()):
            raise ValueError(f"worker {worker_id} is there already, or the zygote is ending")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            pid = self._start.keeper(message, ours, theirs)
        self._add(_Peer(ours, worker_id))
        self._house.born[pid] = _Born(pid, "keeper", worker_id, engine)
        self._send(engine, {"op": "started", "worker_id": worker_id, "pid": pid})

    def _make_user(self, keeper: _Peer, fds: Sequence[int]) -> None:
        if not keeper.worker_id or len(fds) != 4:
            raise ValueError(f"a user process needs a keeper and 4 descriptors, got {len(fds)}")
        pid = self._start.user(fds)
        self._house.born[pid] = _Born(pid, "user", keeper.worker_id, keeper)
        handle = _pidfd(pid)
        self._send(keeper, {"op": "started", "worker_id": keeper.worker_id, "pid": pid}, handle)
        for fd in handle:
            os.close(fd)

    def _shed(self, ours: Sequence[socket.socket]) -> None:
        """In a child: close the zygote's sockets as objects, so that none closes a reused number later."""
        signal.set_wakeup_fd(-1)
        self._selector.close()
        for sock in (
            self._listener,
            self._woken,
            self._waker,
            *ours,
            *(p.sock for p in self._house.peers.values()),
        ):
            sock.close()

    # ---- ends ---------------------------------------------------------------------------------------------

    def _watch_children(self) -> None:
        self._woken, self._waker = socket.socketpair()
        for sock in (self._woken, self._waker):
            sock.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGTERM, lambda number, frame: self._stop())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._reap)

    def _reap(self) -> None:
        with suppress(BlockingIOError):
            self._woken.recv(4096)
        while self._house.born:
            pid, status, used = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            self._bury(pid, status, used.ru_maxrss * 1024)

    def _bury(self, pid: int, status: int, peak_bytes: int) -> None:
        born = self._house.born.pop(pid, None)
        if born is None:
            return
        code = os.waitstatus_to_exitcode(status)
        ended = {"code": code, "signal": None} if code >= 0 else {"code": None, "signal": -code}
        self._send(
            born.asker,
            {"op": "exited", "worker_id": born.worker_id, "pid": pid, "peak_bytes": peak_bytes, **ended},
        )
        if born.kind == "keeper":
            self._served = code if code >= 0 else 128 - code
            for other in self._house.of_kind("user"):
                if other.worker_id == born.worker_id:
                    _kill_group(other.pid)

    def _stop(self) -> None:
        self._stopping_at = time.monotonic()
        for born in self._house.of_kind("keeper"):
            os.kill(born.pid, signal.SIGTERM)

    def _over(self) -> bool:
        now = time.monotonic()
        if self._settings.once and self._served is not None:
            return True
        if self._stopping_at is not None:
            late = now - self._stopping_at > _STOP_S
            for born in list(self._house.born.values()) if late else ():
                _kill_group(born.pid)
            return late or not self._house.born
        if self._house.born or any(not peer.worker_id for peer in self._house.peers.values()):
            self._needed_at = now
        return now - self._needed_at > self._settings.ttl_s

    def _wait_s(self) -> float:
        return 0.1 if self._stopping_at is not None else min(1.0, self._settings.ttl_s / 4 + 0.01)


def _listen(path: str) -> socket.socket:
    """Listen on a path; a socket that a dead zygote left there is replaced."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    before = os.umask(0o077)
    try:
        if _stale(path):
            os.unlink(path)
        listener.bind(path)
    finally:
        os.umask(before)
    listener.listen(64)
    return listener


def _stale(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except FileNotFoundError:
            return False
    return False


def _pidfd(pid: int) -> list[int]:
    try:
        return [os.pidfd_open(pid)]
    except (OSError, AttributeError):  # an old system: the exit report and the closed socket tell as well
        return []


def _kill_group(pid: int) -> None:
    for kill in (os.killpg, os.kill):
        with suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)
