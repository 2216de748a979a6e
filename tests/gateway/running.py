"""A real gateway process and a client that speaks gRPC and HTTP to it."""

from __future__ import annotations

import json
import os
import queue
import signal
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message

from remote_runtime.wire import frames, versions
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.methods import (
    AUTHORIZATION,
    CHANNEL_OPTIONS,
    FAILURE,
    GATEWAY,
    GATEWAY_SERVICE,
    SESSION,
    SESSION_TOKEN,
)

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 30.0
QUICK = ("--imports", "", "--renew-s", "0.5", "--watch-s", "0.05", "--release-countdown-s", "0.5")


class Refused(Exception):
    """What the gateway answered instead."""

    def __init__(self, error: grpc.RpcError) -> None:
        super().__init__(error.details())
        self.status = error.code()
        found = [value for key, value in error.trailing_metadata() or () if key == FAILURE]
        self.failure = pb.Failure.FromString(found[0]) if found else pb.Failure()


@dataclass
class Running:
    """A gateway process."""

    process: subprocess.Popen
    home: Path
    grpc: str = ""
    http: str = ""
    token: str = ""
    https: str = ""
    ca: str = ""
    channels: list[grpc.Channel] = field(default_factory=list)

    @property
    def metadata(self) -> list[tuple[str, str]]:
        return [(AUTHORIZATION, f"Bearer {self.token}")]

    def channel(self, address: str = "") -> grpc.Channel:
        self.channels.append(grpc.insecure_channel(address or self.grpc, options=CHANNEL_OPTIONS))
        return self.channels[-1]

    def by(self, token: str) -> Running:
        """Return the same gateway, called with another token."""
        return replace(self, token=token)

    def call(self, name: str, request: Message) -> Any:
        method = GATEWAY[name]
        stub = self.channel().unary_unary(
            f"/{GATEWAY_SERVICE}/{name}", method.request.SerializeToString, method.reply.FromString
        )
        try:
            return stub(request, metadata=self.metadata, timeout=LIMIT_S)
        except grpc.RpcError as error:
            raise Refused(error) from None

    def updates(self, target: str, session: str, **more: Any) -> Any:
        stub = self.channel().unary_stream(
            f"/{GATEWAY_SERVICE}/Open", pb.OpenRequest.SerializeToString, pb.OpenUpdate.FromString
        )
        request = pb.OpenRequest(versions=versions.here(), target=target, session=session, **more)
        return stub(request, metadata=self.metadata, timeout=LIMIT_S)

    def open(self, target: str, session: str, **more: Any) -> pb.Granted:
        try:
            return list(self.updates(target, session, **more))[-1].granted
        except grpc.RpcError as error:
            raise Refused(error) from None

    def attach(self, granted: pb.Granted) -> Attached:
        return Attached(self, granted)

    def get(self, path: str, token: str | None = None) -> tuple[int, Any]:
        shown = {"Authorization": f"Bearer {self.token if token is None else token}"}
        try:
            with urllib.request.urlopen(urllib.request.Request(self.http + path, headers=shown), timeout=LIMIT_S) as reply:
                body = reply.read().decode()
                return reply.status, json.loads(body) if body[:1] in "{[" else body
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def stop(self) -> int:
        """Stop everything and return the exit code."""
        self.call("Stop", pb.StopRequest(force=True))
        return self.process.wait(LIMIT_S)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        for channel in self.channels:
            channel.close()
        self.process.send_signal(number)
        return self.process.wait(LIMIT_S)


class Attached:
    """A relayed stream to a session's worker."""

    def __init__(self, gateway: Running, granted: pb.Granted) -> None:
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        metadata = [*gateway.metadata, (SESSION, granted.session_id), (SESSION_TOKEN, granted.token)]
        call = gateway.channel().stream_stream(f"/{GATEWAY_SERVICE}/Relay")
        self.call = call(iter(self._outgoing.get, None), metadata=metadata)
        hello = pb.Hello(versions=versions.here(), token=granted.token, session_id=granted.session_id, client="test")
        hello.incarnation = granted.incarnation
        self.send(pb.ToWorker(request_id=1, hello=hello))
        self.welcome = self.until(lambda m: m.HasField("welcome")).welcome

    def send(self, message: pb.ToWorker) -> None:
        self._outgoing.put(frames.control(message))

    def until(self, wanted: Any) -> pb.FromWorker:
        for frame in self.call:
            message = pb.FromWorker.FromString(frame[1:])
            if wanted(message):
                return message
        raise AssertionError("the stream ended")

    def start(self, run_id: str, source: str) -> None:
        self.send(pb.ToWorker(request_id=2, run=pb.Run(run_id=run_id, source=source, keep_s=600.0)))
        self.until(lambda m: m.event.HasField("started"))

    def run(self, run_id: str, source: str) -> tuple[str, pb.End]:
        self.send(pb.ToWorker(request_id=2, run=pb.Run(run_id=run_id, source=source)))
        return self.finish(run_id)

    def finish(self, run_id: str) -> tuple[str, pb.End]:
        printed: list[str] = []

        def over(message: pb.FromWorker) -> bool:
            printed.append(message.event.stream.text)
            return message.event.run_id == run_id and message.event.HasField("end")

        end = self.until(over).event.end
        return "".join(printed), end


def command(home: Path, *arguments: str, module: str = "remote_runtime.gateway") -> list[str]:
    directories = ["--state", str(home / "state"), "--runtime-dir", str(home / "run")]
    return [sys.executable, "-m", module, *directories, *arguments]


def start(home: Path, *arguments: str, dies: str = "") -> Running:
    """Start a gateway and wait until it is ready; it may be one that dies at a step, see `dying`."""
    ready, theirs = os.pipe()
    module = "tests.gateway.dying" if dies else "remote_runtime.gateway"
    words = command(home, *QUICK, "--ready-fd", str(theirs), *arguments, module=module)
    with open(home / "gateway.log", "ab") as log:
        process = subprocess.Popen(words, pass_fds=(theirs,), cwd=ROOT, stderr=log, env={**os.environ, "DIES": dies})
    os.close(theirs)
    with os.fdopen(ready) as pipe:
        line = pipe.readline()
    assert line, (home / "gateway.log").read_text()
    return Running(process, home, **json.loads(line))


def rows(home: Path, sql: str) -> list[tuple[Any, ...]]:
    """Ask the store of a gateway, beside it, as it stands on the disk."""
    with closing(sqlite3.connect(f"file:{home}/state/store.db?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def sockets(home: Path) -> Iterator[Path]:
    return (path for path in (home / "run").iterdir())
