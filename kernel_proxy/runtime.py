r"""The runtime as one object: found or started, compared in versions, and asked for sessions.

    Settings -> connect -> Runtime -> open -> Session
                  |            \-> describe, release, stop
                  \- Finder: where the gateway is

A gateway that dies is found or started again when it is next needed; sessions do without it.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from google.protobuf.message import Message

from kernel_proxy import builds, lane
from kernel_proxy.asks import Asks
from kernel_proxy.builds import Hearer
from kernel_proxy.channel import Address, Door, Frames, is_away
from kernel_proxy.discovery import Found
from kernel_proxy.errors import RuntimeDefect, RuntimeUnavailable, WarmcellError
from kernel_proxy.finding import Finder
from kernel_proxy.greeting import compared
from kernel_proxy.image_steps import Plan
from kernel_proxy.parcels import Outgoing
from kernel_proxy.session import Session
from kernel_proxy.settings import GRPC, Settings, load_settings
from kernel_proxy.stream import FrameStream
from kernel_proxy.wishes import NONE, Wishes
from remote_runtime.wire import memory, versions
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.arena import most_bytes
from remote_runtime.wire.lane import path_of
from remote_runtime.wire.methods import GATEWAY_SERVICE, SESSION, SESSION_TOKEN, WORKER_SERVICE

T = TypeVar("T")
Say = Callable[[str], None]


def connect(settings: Settings | None = None, say: Say | None = None, *, start: bool = True) -> Runtime:
    """Reach the runtime that the settings name; the embedded one is started if need be.

    Args:
        settings: Where it is; None reads the environment and the files.
        say: Told in a sentence what takes time.
        start: Whether the embedded runtime may be started.

    Raises:
        RuntimeUnavailable: It cannot be reached or started.
        Unauthorized: It does not accept the token.
        VersionMismatch: This kernel and the runtime cannot exchange values; the message shows a table.
    """
    runtime = Runtime(settings or load_settings(), say or (lambda sentence: None), start)
    try:
        runtime.reach()
    except BaseException:
        runtime.close()
        raise
    return runtime


class Runtime(Asks):
    """A runtime that a kernel is connected to; `connect` makes it.

    Args:
        settings: Where it is.
        say: Told in a sentence what takes time.
        start: Whether the embedded runtime may be started.

    Attributes:
        version_notice: Versions that differ and may matter, as a table; None when there are none.
        http: The gateway's HTTP address, or how it is reached.
        is_far: Whether its paths mean nothing on this machine, even where it says that it is this one.
    """

    def __init__(self, settings: Settings, say: Say, start: bool = True) -> None:
        self.settings = settings
        self.version_notice: str | None = None
        self.http, self.is_far = "", False
        self._say, self._finder = say, Finder(settings, start)
        self._door: Door | None = None
        self._lock = threading.Lock()
        self._sessions: list[Session] = []

    def reach(self, quietly: bool = False) -> None:
        """Find the gateway, starting the embedded one if need be, and compare versions.

        A gateway that still answers is kept: closing its connection would end what others ask there, and every
        stream that it relays.

        Args:
            quietly: Say nothing: the caller is no cell.

        Raises:
            WarmcellError: As `connect`.
        """
        if self._answers():
            return
        say = self._say if not quietly else lambda sentence: None
        try:
            self._reach(*self._finder.find(say, patient=quietly))
        except RuntimeUnavailable as error:
            if not (is_away(error) and self._finder.is_dying()):
                raise
            self._reach(*self._finder.find(say))

    def describe(self) -> pb.RuntimeInfo:
        """Return what the runtime has and holds.

        Raises:
            WarmcellError: It cannot be reached.
        """
        return self._again(self._describe)

    def open(
        self,
        target: str,
        session: str,
        notebook: str,
        namespace: dict[str, Any],
        *,
        idle_s: float = 0.0,
        must_exist: bool = False,
        no_wait: bool = False,
        on_wait: Callable[[pb.Waiting], None] | None = None,
        wishes: Wishes = NONE,
    ) -> Session:
        """Open a session, waiting for its device; interrupting the wait leaves the queue.

        Args:
            target: What it shall hold; empty means any.
            session: Its name.
            notebook: For people: where it is used.
            namespace: The notebook's names, to which functions that come back are bound.
            idle_s: Seconds without a run after which it is released; 0 means only when somebody waits.
            must_exist: Attach to a running session only.
            no_wait: Fail rather than wait for a held device.
            on_wait: Called with each `pb.Waiting`.
            wishes: What its worker is made with, and what it is given.

        Raises:
            TargetUnavailable: The runtime has no such device.
            TargetBusy: It is held, and `no_wait` was asked for.
            NotFound: `must_exist` was asked for, and there is no such session.
            WarmcellError: The runtime cannot be reached, or refuses.
        """
        request = pb.OpenRequest(
            versions=versions.here(),
            target=target,
            session=session,
            notebook=notebook,
            idle_s=idle_s,
            no_wait=no_wait,
            must_exist=must_exist,
        )
        wishes.fill(request)
        granted = self._waited_for(request, on_wait or (lambda waiting: None))
        opened = Session(session, target, granted, WorkerLine(self, granted), namespace)
        opened.trust = self.settings.trust
        opened.attach()
        opened.given = wishes if granted.fresh else NONE
        self._sessions = [*(s for s in self._sessions if s.lost is None), opened]
        return opened

    def ask(self, method: str, request: Message, timeout_s: float) -> Any:
        """Call a method of the gateway by its name in `methods.GATEWAY`; a refusal is a `WarmcellError`."""
        return self._again(lambda door: door.call(method, request, timeout_s))

    def _waited_for(self, request: pb.OpenRequest, on_wait: Callable[[pb.Waiting], None]) -> pb.Granted:
        """Ask until the session is granted; a ticket keeps the place in the queue from gateway to gateway."""
        heard: list[str] = []

        def hear(waiting: pb.Waiting) -> None:
            request.ticket = waiting.ticket or request.ticket
            heard.append(waiting.ticket)
            on_wait(waiting)

        while True:
            heard.clear()
            try:
                return self._again(lambda door: _granted(door.updates("Open", request), hear))
            except RuntimeUnavailable as error:
                if not (is_away(error) and any(heard)):  # a gateway that put us in its queue has ended: go on
                    raise

    def release(self, session: str, force: bool = False) -> pb.ReleaseReply:
        """Give a session back; its variables are lost.

        Args:
            session: Name or id.
            force: Even while it runs a cell.

        Raises:
            NotFound: There is no such session.
            TargetBusy: It runs a cell, and `force` is not given.
        """
        return self._again(lambda door: door.call("Release", pb.ReleaseRequest(session=session, force=force)))

    def stop(self, force: bool = False) -> pb.StopReply:
        """Stop the runtime with all its sessions.

        Raises:
            TargetBusy: A cell runs, and `force` is not given.
            RuntimeUnavailable: It cannot be reached.
        """
        return self._gateway().call("Stop", pb.StopRequest(force=force))

    def exit_reason(self, session_id: str, incarnation: int) -> pb.ExitReply | None:
        """Ask whether a session's worker is gone; None when the gateway cannot be asked. Starts nothing."""
        try:
            return self._gateway().call("Exit", pb.ExitRequest(session_id=session_id, incarnation=incarnation), 5.0)
        except WarmcellError:
            return None

    def relay(self, outgoing: Iterable[bytes], session_id: str, token: str) -> Frames:
        """Open a stream to a session's worker through the gateway."""
        return self._gateway().frames("Relay", outgoing, {SESSION: session_id, SESSION_TOKEN: token})

    def build(self, plan: Plan, hearer: Hearer, parent: str = "") -> pb.Built:
        """Build an image; see `builds.build`."""
        return self._again(lambda door: builds.build(door, plan, hearer, parent))

    def close(self) -> None:
        """Detach from every session and the gateway; everything lives on at the runtime."""
        for session in self._sessions:
            session.close()
        self._sessions = []
        if self._door is not None:
            self._door.close()
        self._finder.close()
        atexit.unregister(self.close)

    def _reach(self, found: Found, token: str) -> None:
        door = Door(GATEWAY_SERVICE, found.address, token)
        try:
            self.version_notice = compared(self._describe(door).versions)
        except WarmcellError:
            door.close()
            raise
        with self._lock:
            self._door, old = door, self._door
        self.http, self.is_far = found.http, found.is_far
        if old is None:
            atexit.register(self.close)
        else:
            old.close()

    def _answers(self) -> bool:
        if self._door is None:
            return False
        try:
            info = self._describe(self._door)
        except WarmcellError:
            return False
        self.version_notice = compared(info.versions)
        return True

    def _describe(self, door: Door) -> pb.RuntimeInfo:
        return door.call("Describe", pb.DescribeRequest(versions=versions.here()), self.settings.answer_s)

    def _gateway(self) -> Door:
        if self._door is None:
            raise RuntimeDefect("the runtime was used before it was reached", "call `connect`")
        return self._door

    def _again(self, ask: Callable[[Door], T]) -> T:
        """Ask the gateway; where it is away, reach it anew and ask once more."""
        try:
            return ask(self._gateway())
        except RuntimeUnavailable as error:
            if not is_away(error):
                raise
            self.reach()
            return ask(self._gateway())


class WorkerLine:
    """The way to one session's worker: on this machine its lane, or its gRPC socket, else through the gateway.

    Args:
        runtime: Who can relay.
        granted: Where the worker is.
    """

    def __init__(self, runtime: Runtime, granted: pb.Granted) -> None:
        self._runtime, self._granted = runtime, granted
        self._door: Door | None = None

    @property
    def same_host(self) -> bool:
        """Whether the worker is on this machine."""
        here = self._granted.versions.host == versions.host_id()  # so do containers of one machine say
        return bool(self._granted.unix) and here and not self._runtime.is_far

    def dial(self, outgoing: Outgoing, attempt: int) -> FrameStream:
        """Open a stream; every other attempt goes through the gateway, lest the socket is not ours to use."""
        self.hang_up()
        granted = self._granted
        if self.same_host and attempt % 2 == 0 and os.path.exists(granted.unix):
            if self._has_lane:
                return lane.dial(path_of(granted.unix), outgoing, self._arena_bytes)
            self._door = Door(WORKER_SERVICE, Address(f"unix:{granted.unix}"), granted.token)
            return self._door.frames("Attach", outgoing)
        if attempt and not self.same_host:
            self._runtime.reach(quietly=True)  # here the gateway is part of the way
        return self._runtime.relay(outgoing, granted.session_id, granted.token)

    @property
    def _has_lane(self) -> bool:
        wanted = self._runtime.settings.transport != GRPC
        return wanted and lane.is_possible() and os.path.exists(path_of(self._granted.unix))

    @property
    def _arena_bytes(self) -> int:
        wanted = self._runtime.settings.arena_bytes
        most = most_bytes()
        return most if wanted is None else wanted if memory.available() else 0

    def exit_reason(self) -> pb.ExitReply | None:
        """Ask the gateway whether the worker is gone; None when it cannot be asked."""
        return self._runtime.exit_reason(self._granted.session_id, self._granted.incarnation)

    def hang_up(self) -> None:
        """Close the direct connection, if there is one."""
        if self._door is not None:
            self._door.close()
            self._door = None


def _granted(updates: Iterator[pb.OpenUpdate], on_wait: Callable[[pb.Waiting], None]) -> pb.Granted:
    try:
        for update in updates:
            if update.HasField("granted"):
                return update.granted
            on_wait(update.waiting)
    finally:
        updates.close()
    raise RuntimeDefect("the gateway ended its answer without granting a session", "see `warmcell logs`")
