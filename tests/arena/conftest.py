"""A far process with its link."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from remote_runtime.wire import frames, payload
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.arena import Arena
from remote_runtime.wire.reader import Reader
from tests.arena.link import Link
from tests.structure.code import ROOT


class Far:
    """The far process, from here."""

    def __init__(self, arena: Arena) -> None:
        near, theirs = socket.socketpair()
        command = [sys.executable, "-m", "tests.arena.far", str(theirs.fileno())]
        self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd=ROOT)
        theirs.close()
        self.link = Link(near, pb.ToWorker, pb.FromWorker, arena)

    def run(self, source: str, **values: object) -> frames.Whole:
        """Send values, execute source there, return the reply."""
        bundle = payload.pack(values, namespace={}).bundle if values else None
        self.blocks = self.link.send(pb.ToWorker(run=pb.Run(source=source)), bundle)
        whole = self.link.receive()
        assert whole is not None, "the far process has gone"
        return whole

    def said(self, source: str, **values: object) -> str:
        return self.run(source, **values).message.values.held[0].preview

    def back(self, source: str, **values: object) -> object:
        whole = self.run(source, **values)
        return payload.unpack(whole.bundle, {})["back"]

    def close(self) -> None:
        self.link.sock.close()
        self.process.wait(20)


@pytest.fixture
def start() -> Iterator[Callable[..., Far]]:
    started: list[Far] = []

    def begin(**settings: object) -> Far:
        started.append(Far(Arena(**settings)))  # type: ignore[arg-type]
        return started[-1]

    yield begin
    for far in started:
        far.close()
        far.link.arena.close()


@pytest.fixture
def far(start: Callable[..., Far]) -> Far:
    return start()


@pytest.fixture
def arena() -> Iterator[Arena]:
    made = Arena()
    yield made
    made.close()


@pytest.fixture
def reader() -> Iterator[Reader]:
    made = Reader()
    yield made
    made.close()
