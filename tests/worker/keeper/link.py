"""Real zygotes and keepers for tests, and a client that speaks raw frames to them."""

from __future__ import annotations

import itertools
import os
import queue
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc

from remote_runtime.wire import forking, frames, methods, versions
from remote_runtime.wire import messages_pb2 as pb

SECRET, TOKEN = "the-keeper-secret", "the-session-token"
REAL, STANDIN = "remote_runtime.worker.user", "tests.worker.keeper.standin"
LIMIT_S = 20.0


def until(condition: Any, what: str = "a condition") -> Any:
    deadline = time.monotonic() + LIMIT_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {LIMIT_S} s for {what}"
        time.sleep(0.005)
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class LiveZygote:
    """A zygote process and a connection to it."""

    def __init__(self, folder: Path, user: str = REAL, *more: str, **environment: str) -> None:
        self.folder, self.path = folder, folder / "z"
        self.log = folder / "zygote.log"
        command = [
            sys.executable,
            *("-m", "remote_runtime.worker", "--socket", str(self.path), "--user", user),
            *more,
        ]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **environment}
            )
        self.sock = self.connect()
        self.exits: dict[str, dict[str, Any]] = {}
        self._count = itertools.count(1)

    def connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.settimeout(LIMIT_S)
        until(lambda: self.path.exists() and sock.connect_ex(str(self.path)) == 0, "the zygote")
        return sock

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        forking.send(self.sock, message)
        return self.hear()

    def hear(self) -> dict[str, Any]:
        while True:
            heard = forking.receive(self.sock)
            assert heard is not None, self.log.read_text()
            if heard[0]["op"] != "exited":
                return heard[0]
            self.exits[heard[0]["worker_id"]] = heard[0]

    def exit_of(self, worker_id: str) -> dict[str, Any]:
        while worker_id not in self.exits:
            heard = forking.receive(self.sock)
            assert heard is not None and heard[0]["op"] == "exited"
            self.exits[heard[0]["worker_id"]] = heard[0]
        return self.exits[worker_id]

    def keeper(self, **tuning: Any) -> LiveKeeper:
        return LiveKeeper(self, tuning.pop("worker_id", f"w{next(self._count)}"), tuning)

    def close(self) -> None:
        self.sock.close()
        self.process.terminate()
        self.process.wait(LIMIT_S)


class LiveKeeper:
    """A keeper process, claimed or not; its clients are `link`s unless they say otherwise."""

    link: type[Link]

    def __init__(self, zygote: LiveZygote, worker_id: str, tuning: dict[str, Any]) -> None:
        self.zygote, self.worker_id = zygote, worker_id
        self.path, self.log = zygote.folder / worker_id, zygote.folder / f"{worker_id}.log"
        order = {"op": "keeper", "worker_id": worker_id, "socket": str(self.path), "secret": SECRET}
        log = tuning.pop("log", str(self.log))
        order |= {"directory": str(zygote.folder), "log": log, "tuning": tuning}
        self.pid = int(zygote.ask(order)["pid"])
        until(self.path.exists, f"worker {worker_id}")
        self.channel = grpc.insecure_channel(f"unix:{self.path}", options=methods.CHANNEL_OPTIONS)
        self.links: list[Link] = []

    def call(self, name: str, request: Any, secret: str = SECRET) -> Any:
        method = methods.WORKER[name]
        stub = self.channel.unary_unary(
            f"/{methods.WORKER_SERVICE}/{name}",
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.reply.FromString,
        )
        return stub(request, metadata=((methods.AUTHORIZATION, f"Bearer {secret}"),), timeout=LIMIT_S)

    def claim(self, link: type[Link] | None = None, **fields: Any) -> LiveKeeper:
        self.link = link or self.link
        cpu = pb.Device(id="cpu", model="cpu")
        asked = {"session_id": "s1", "session": "nb", "token": TOKEN, "devices": [cpu], "incarnation": 1}
        asked |= {"directory": str(self.zygote.folder), "target": "cpu"}
        reply = self.call("Claim", pb.ClaimRequest(**{**asked, **fields}))
        assert reply.claimed, reply.reason
        return self

    def info(self) -> pb.SessionInfo:
        return self.call("Renew", pb.RenewRequest())

    def stranger(self, link: type[Link] | None = None) -> Link:
        kind = link or self.link
        joined = kind(self.channel if kind is Link else str(self.path))  # type: ignore[arg-type]
        self.links.append(joined)
        return joined

    def attach(self, link: type[Link] | None = None, **hello: Any) -> Link:
        joined = self.stranger(link)
        said = {"token": TOKEN, "session_id": "s1", "versions": versions.here(), "client": "test", "groups": True}
        joined.send(request_id=joined.next_id(), hello=pb.Hello(**{**said, **hello}))
        return joined

    def client(self, link: type[Link] | None = None, **hello: Any) -> Link:
        joined = self.attach(link, **hello)
        joined.welcome = joined.get().welcome
        return joined

    def close(self) -> None:
        for link in self.links:
            link.close()
        self.channel.close()
        if alive(self.pid):
            os.kill(self.pid, 15)
        until(lambda: not alive(self.pid), "the keeper's end")


class Link:
    """One attached client."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.out: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.assembler: frames.Assembler[pb.FromWorker] = frames.Assembler(pb.FromWorker)
        self.welcome = pb.Welcome()
        self._ids = itertools.count(1)
        attach = channel.stream_stream(f"/{methods.WORKER_SERVICE}/Attach")
        self.stream = attach(iter(self.out.get, None), timeout=2 * LIMIT_S)
        self.frames = itertools.chain.from_iterable(map(frames.ungrouped, self.stream))

    def next_id(self) -> int:
        return next(self._ids)

    def send(self, **message: Any) -> None:
        self.raw(frames.control(pb.ToWorker(**message)))

    def raw(self, frame: bytes) -> None:
        self.out.put(frame)

    def get(self) -> pb.FromWorker:
        """The next whole message."""
        for frame in self.frames:
            whole = self.assembler.feed(frame)
            if whole is not None:
                self.bundle = whole.bundle
                return whole.message
        raise EOFError("the stream has ended")

    def ask(self, **body: Any) -> pb.FromWorker:
        """Send a request and return what answers it."""
        request_id = self.next_id()
        self.send(request_id=request_id, **body)
        while True:
            message = self.get()
            if message.request_id == request_id:
                return message

    def run(self, source: str, run_id: str = "r1", **fields: Any) -> Link:
        self.run_id = run_id
        self.send(request_id=self.next_id(), run=pb.Run(run_id=run_id, source=source, **fields))
        return self

    def events(self, run_id: str = "r1") -> Iterator[pb.Event]:
        """The events of a run to its end; a failure is raised."""
        while True:
            message = self.get()
            if message.HasField("failure"):
                raise Refused(message.failure)
            if message.HasField("event") and message.event.run_id == run_id:
                yield message.event
                if message.event.HasField("end"):
                    return

    def started(self, run_id: str = "r1") -> Link:
        next(e for e in self.events(run_id) if e.HasField("started"))
        return self

    def until_text(self, text: str, run_id: str = "") -> list[pb.Event]:
        """The events up to the one that has a text in it."""
        seen: list[pb.Event] = []
        for event in self.events(run_id or self.run_id):
            seen.append(event)
            if text in event.stream.text:
                return seen
        raise AssertionError(f"{text!r} never came")

    def end(self, run_id: str = "r1") -> pb.End:
        return list(self.events(run_id))[-1].end

    def close(self) -> None:
        self.out.put(None)
        self.stream.cancel()


LiveKeeper.link = Link


class Refused(Exception):
    """A Failure, as a test sees it."""

    def __init__(self, failure: pb.Failure) -> None:
        super().__init__(f"{failure.code}: {failure.message}")
        self.code = failure.code


def text_of(events: list[pb.Event]) -> str:
    return "".join(e.stream.text for e in events if e.HasField("stream"))
