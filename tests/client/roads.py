"""A session joined to a stand-in worker, without a gateway."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kernel_proxy import lane
from kernel_proxy.channel import Address, Door
from kernel_proxy.parcels import Outgoing
from kernel_proxy.session import Session
from kernel_proxy.stream import FrameStream
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import versions
from remote_runtime.wire.methods import WORKER_SERVICE
from tests.client.lanes import LaneServer
from tests.client.standin import Worker, serve_worker

TRANSPORT = "grpc"
"""How sessions are joined; the fixture `transport` lets a module's tests run both ways."""


@dataclass
class DirectLine:
    """Dials one socket; what the gateway would say is set by the test."""

    socket: Path
    says: pb.ExitReply | None = field(default_factory=pb.ExitReply)
    same_host: bool = True
    door: Door | None = None

    def dial(self, outgoing: Outgoing, attempt: int) -> FrameStream:
        self.hang_up()
        if TRANSPORT == "lane":
            return lane.dial(str(self.socket), outgoing)
        self.door = Door(WORKER_SERVICE, Address(f"unix:{self.socket}"), "secret")
        return self.door.frames("Attach", outgoing)

    def exit_reason(self) -> pb.ExitReply | None:
        return self.says

    def hang_up(self) -> None:
        if self.door is not None:
            self.door.close()


@contextmanager
def joined(worker: Worker, directory: Path, line: DirectLine | None = None) -> Iterator[Session]:
    """A session attached to a stand-in worker."""
    socket = directory / "w.sock"
    line = line or DirectLine(socket)
    granted = pb.Granted(session_id="s1", unix=str(socket), token="secret", incarnation=1, versions=versions.here())
    with LaneServer(worker, socket) if TRANSPORT == "lane" else serve_worker(worker, socket):
        session = Session("nb", "cpu", granted, line, {})
        session.attach()
        try:
            yield session
        finally:
            session.close()
            worker.hold.set()


def texts(events: Iterable[pb.Event]) -> list[str]:
    return [e.stream.text for e in events if e.HasField("stream")]
