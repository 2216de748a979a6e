"""A real user process, held by the test as its keeper would hold it."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from remote_runtime.wire import frames, payload
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.bundle import Bundle

TAIL_BYTES = 64 * 1024
PATIENCE_S = 20.0
START = "import ctypes, sys; ctypes.CDLL(None).prctl(1, 9); from remote_runtime.worker.user import main; main(int(sys.argv[1]), int(sys.argv[2]))"
"""Dies with the test run, whatever ends that: prctl(PR_SET_PDEATHSIG, SIGKILL)."""


class Gone(Exception):
    """The process has closed its channel."""


@dataclass
class Done:
    """A run that has ended."""

    events: list[pb.Event]
    end: pb.End
    bundle: Bundle | None
    fds: dict[int, str]
    namespace: dict[str, object] = field(default_factory=lambda: {"__name__": "__main__"})

    @property
    def values(self) -> dict[str, object]:
        return payload.unpack(self.bundle, namespace=self.namespace) if self.bundle else {}

    @property
    def out(self) -> str:
        return self._text(False)

    @property
    def err(self) -> str:
        return self._text(True)

    def _text(self, is_stderr: bool) -> str:
        return "".join(e.stream.text for e in self.events if e.WhichOneof("body") == "stream" and e.stream.stderr is is_stderr)

    @property
    def kinds(self) -> list[str]:
        return [e.WhichOneof("body") for e in self.events]

    @property
    def shown(self) -> list[dict[str, object]]:
        return [json.loads(getattr(e, k).mime.data_json) for e in self.events if (k := e.WhichOneof("body")) in ("display", "result")]

    @property
    def held(self) -> dict[str, pb.Held]:
        return {row.name: row for row in self.end.held}

    @property
    def traceback(self) -> str:
        return "\n".join(self.end.problem.traceback)


class User:
    """A user process and the keeper's ends of what it holds."""

    def __init__(self, directory: str, environment: Mapping[str, str] | None = None) -> None:
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(PATIENCE_S)
        self.tail = os.memfd_create("tail")
        os.ftruncate(self.tail, TAIL_BYTES)
        pipes = {fd: os.pipe() for fd in (1, 2)}
        self.pipes = {fd: ends[0] for fd, ends in pipes.items()}
        command = [sys.executable, "-c", START, str(theirs.fileno()), str(self.tail)]
        keep = (theirs.fileno(), self.tail)
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipes[1][1], stderr=pipes[2][1], pass_fds=keep, start_new_session=True)
        theirs.close()
        for fd in (1, 2):
            os.close(pipes[fd][1])
            os.set_blocking(self.pipes[fd], False)
        self.fds = {1: "", 2: ""}
        self._splitter, self._assembler = frames.Splitter(), frames.Assembler(pb.FromWorker)
        self._frames: list[bytes] = []
        self.late: list[pb.Event] = []
        self.count = self._requests = self._bundles = 0
        self.ready = json.loads(self.frame())
        self.send(json.dumps({"directory": directory, "environment": dict(environment or {}), "devices": [{"id": "sim-A100-0", "model": "A100", "simulated": True}], "session": "s"}).encode())

    def send(self, *what: bytes) -> None:
        for frame in what:
            self.sock.sendall(frames.framed(frame))

    def frame(self) -> bytes:
        until = time.monotonic() + PATIENCE_S
        while not self._frames:
            select.select([self.sock, *self.pipes.values()], [], [], 1.0)
            self.drain()
            try:
                received = self.sock.recv(1 << 20, socket.MSG_DONTWAIT)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise TimeoutError(f"nothing came; stderr: {self.fds[2]}") from None
                continue
            if not received:
                raise Gone
            self._frames.extend(self._splitter.feed(received))
        return self._frames.pop(0)

    def drain(self) -> None:
        for fd, pipe in self.pipes.items():
            try:
                while data := os.read(pipe, 1 << 16):
                    self.fds[fd] += data.decode()
            except BlockingIOError:
                pass

    def message(self) -> frames.Whole[pb.FromWorker]:
        while (whole := self._assembler.feed(self.frame())) is None:
            pass
        return whole

    def start(self, source: str, values: Mapping[str, object] | None = None, **fields: object) -> str:
        self.count += 1
        count = fields.pop("count", self.count)
        run = pb.Run(run_id=f"r{self.count}", source=source, count=count, **fields)
        self._with_bundle(pb.ToWorker(run=run), values)
        return run.run_id

    def _with_bundle(self, message: pb.ToWorker, values: Mapping[str, object] | None, namespace: dict[str, object] | None = None) -> None:
        if values is None:
            return self.send(frames.control(message))
        bundle = payload.pack(values, namespace=namespace or {"__name__": "__main__"}).bundle
        self._bundles += 1
        follows = frames.announce(frames_header(message), bundle, self._bundles)
        self.send(frames.control(message), *(frames.data(bundle, self._bundles) if follows else ()))

    def events(self) -> Iterator[tuple[pb.Event, Bundle | None]]:
        while True:
            whole = self.message()
            assert whole.message.WhichOneof("body") == "event", whole.message
            yield whole.message.event, whole.bundle
            if whole.message.event.WhichOneof("body") == "end":
                return

    def finish_rest(self) -> Done:
        """Finish a run whose first events were taken already."""
        return self.finish(from_start=False)

    def finish(self, *, from_start: bool = True) -> Done:
        seen = list(self.events())
        self.drain()
        done = Done([event for event, _ in seen], seen[-1][0].end, seen[-1][1], dict(self.fds))
        self.fds = {1: "", 2: ""}
        assert done.kinds.count("end") == 1 and (done.kinds[0] == "started" or not from_start)
        return done

    def run(self, source: str, values: Mapping[str, object] | None = None, **fields: object) -> Done:
        self.start(source, values, **fields)
        return self.finish()

    def ask(self, values: Mapping[str, object] | None = None, **body: object) -> tuple[pb.FromWorker, dict[str, object]]:
        self._requests += 1
        self._with_bundle(pb.ToWorker(request_id=self._requests, **body), values)
        while (whole := self.message()).message.WhichOneof("body") == "event":
            self.late.append(whole.message.event)
        assert whole.message.request_id == self._requests
        return whole.message, payload.unpack(whole.bundle, namespace={"__name__": "__main__"}) if whole.bundle else {}

    def until(self, text: str) -> None:
        """Wait until a text was printed."""
        seen = ""
        while text not in seen:
            seen += self.message().message.event.stream.text

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def rest(self) -> tuple[str, str]:
        """Return what a dead process printed: what it had sent, and what its tail still held."""
        sent, sent_bytes = "", 0
        try:
            while True:
                event = self.message().message.event
                if event.WhichOneof("body") == "stream":
                    sent += event.stream.text
                    sent_bytes = event.seq + len(event.stream.text.encode())
        except (Gone, ConnectionError):
            pass
        offset, length, _ = struct.unpack_from("<QIB", os.pread(self.tail, 16, 0))
        text = os.pread(self.tail, length, 16)
        return sent, text[max(0, sent_bytes - offset) :].decode()

    def close(self) -> None:
        self.sock.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(PATIENCE_S)
        for fd in (*self.pipes.values(), self.tail):
            os.close(fd)


def frames_header(message: pb.ToWorker) -> pb.BundleHeader:
    header = message.run.bundle if message.WhichOneof("body") == "run" else message.put.bundle
    header.SetInParent()
    return header
