"""A worker and a gateway in this process that speak the wire, and misbehave on request.

A run's source is a list of texts, one per line; each becomes an event, and the end follows. Streams are cut by
`cuts`: how many frames each successive stream may send before it breaks.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc

from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import versions
from remote_runtime.wire.frames import Assembler, Whole, control
from remote_runtime.wire.methods import CHANNEL_OPTIONS, GATEWAY, GATEWAY_SERVICE, WORKER_SERVICE, Method


@dataclass
class Worker:
    """What a keeper would know.

    Args:
        before: Sent, one by one, instead of reading a request (with a failure) or before it (anything else).
        cuts: Frames that each successive stream may send; streams beyond the list are whole.
        deaf: Streams, counted from 0, that break at the first request behind the hello, unread.
        hold: Set to let runs go past their first event.
    """

    cuts: list[int] = field(default_factory=list)
    deaf: set[int] = field(default_factory=set)
    incarnation: int = 1
    hold: threading.Event = field(default_factory=threading.Event)
    received: list[pb.ToWorker] = field(default_factory=list)
    bundles: list[int] = field(default_factory=list)
    logs: dict[str, list[pb.Event]] = field(default_factory=dict)
    streams: int = 0
    skip: int = 0
    before: list[pb.FromWorker] = field(default_factory=list)
    forget: bool = False
    answers: dict[str, pb.FromWorker | None] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, body: str) -> pb.ToWorker:
        """Return the first message of a kind, waiting for it."""
        found = lambda: [m for m in self.received if m.WhichOneof("body") == body]  # noqa: E731
        with self.changed:
            assert self.changed.wait_for(found, 10), f"no {body} arrived"
        return found()[0]

    def attach(self, frames: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        """One stream."""
        number, self.streams = self.streams, self.streams + 1
        out: SimpleQueue[pb.FromWorker | None] = SimpleQueue()
        left = self.cuts.pop(0) if self.cuts else 10**9
        threading.Thread(target=self._read, args=(frames, out, number in self.deaf), daemon=True).start()
        for message in iter(out.get, None):
            if left == 0:
                break
            left -= 1
            yield control(message)
        context.abort(grpc.StatusCode.UNAVAILABLE, "cut")

    def _read(self, frames: Iterator[bytes], out: SimpleQueue[pb.FromWorker | None], deaf: bool) -> None:
        assembler: Assembler[pb.ToWorker] = Assembler(pb.ToWorker)
        try:
            for frame in frames:
                whole = assembler.feed(frame)
                if deaf and whole is not None and not whole.message.HasField("hello"):
                    break
                if whole is not None:
                    self._take(whole, out)
        except grpc.RpcError:
            pass
        out.put(None)

    def _take(self, whole: Whole[pb.ToWorker], out: SimpleQueue[pb.FromWorker | None]) -> None:
        message = whole.message
        with self.changed:
            self.received.append(message)
            self.changed.notify_all()
        if whole.bundle is not None:
            self.bundles.append(whole.bundle.size_bytes)
        if self.before and not message.HasField("hello"):
            out.put(unasked := self.before.pop(0))
            if unasked.HasField("failure"):
                return
        handler = getattr(self, f"_on_{message.WhichOneof('body')}", self._answer)
        handler(message, out)

    def _on_hello(self, message: pb.ToWorker, out: SimpleQueue[pb.FromWorker | None]) -> None:
        runs = [] if self.forget else [pb.RunInfo(run_id=run_id) for run_id in self.logs]
        welcome = pb.Welcome(versions=versions.here(), incarnation=self.incarnation, names=["x"], runs=runs)
        out.put(self.answers.get("hello") or pb.FromWorker(welcome=welcome))

    def _on_run(self, message: pb.ToWorker, out: SimpleQueue[pb.FromWorker | None]) -> None:
        run = message.run
        if "run" in self.answers:
            self._answer(message, out)
            return
        bodies: list[dict[str, Any]] = [{"stream": pb.Stream(text=line)} for line in run.source.splitlines()]
        bodies.append({"end": pb.End(status="ok", alive=["x", "y"])})
        log = [pb.Event(run_id=run.run_id, seq=seq, **body) for seq, body in enumerate(bodies, 1)]
        log = self.logs.setdefault(run.run_id, log)
        self._send([event for event in log if event.seq != self.skip], out)

    def _on_follow(self, message: pb.ToWorker, out: SimpleQueue[pb.FromWorker | None]) -> None:
        log = self.logs.get(message.follow.run_id)
        if log is None:
            failure = pb.Failure(code="not-found", message=f"there is no run {message.follow.run_id}")
            out.put(pb.FromWorker(request_id=message.request_id, failure=failure))
        else:
            self._send(log[message.follow.after_seq :], out)

    def _answer(self, message: pb.ToWorker, out: SimpleQueue[pb.FromWorker | None]) -> None:
        reply = self.answers.get(message.WhichOneof("body") or "")
        if reply is not None:
            reply.request_id = message.request_id
            out.put(reply)

    def _on_interrupt(self, message: pb.ToWorker, out: SimpleQueue[pb.FromWorker | None]) -> None:
        self.hold.set()

    def _send(self, log: list[pb.Event], out: SimpleQueue[pb.FromWorker | None]) -> None:
        def send() -> None:
            for event in log:
                if event.HasField("end") and not self.hold.is_set():
                    self.hold.wait(20)
                out.put(pb.FromWorker(event=event))

        threading.Thread(target=send, daemon=True).start()


@dataclass
class GatewayStandIn:
    """What a gateway would say."""

    worker: Worker
    engine: str = "stand-in"
    exit_reply: pb.ExitReply = field(default_factory=pb.ExitReply)
    updates: list[pb.OpenUpdate] = field(default_factory=list)
    versions: pb.Versions = field(default_factory=versions.here)
    cancelled: threading.Event = field(default_factory=threading.Event)
    shown: dict[str, Any] = field(default_factory=dict)

    def Describe(self, request: pb.DescribeRequest, context: grpc.ServicerContext) -> pb.RuntimeInfo:
        return pb.RuntimeInfo(versions=self.versions, engine=self.engine, pid=1)

    def Open(self, request: pb.OpenRequest, context: grpc.ServicerContext) -> Iterator[pb.OpenUpdate]:
        context.add_callback(self.cancelled.set)
        yield from self.updates
        if self.updates and self.updates[-1].HasField("waiting"):
            self.cancelled.wait(20)

    def Warm(self, request: pb.WarmRequest, context: grpc.ServicerContext) -> pb.WarmReply:
        return pb.WarmReply(warming=True)

    def Consider(self, request: pb.OpenRequest, context: grpc.ServicerContext) -> pb.ConsiderReply:
        return pb.ConsiderReply()

    def Lend(self, request: pb.LendRequest, context: grpc.ServicerContext) -> pb.Empty:
        return pb.Empty()

    def Secrets(self, request: pb.SecretsRequest, context: grpc.ServicerContext) -> pb.SecretsReply:
        return pb.SecretsReply()

    def Volumes(self, request: pb.VolumesRequest, context: grpc.ServicerContext) -> pb.VolumesReply:
        return pb.VolumesReply()

    def Release(self, request: pb.ReleaseRequest, context: grpc.ServicerContext) -> pb.ReleaseReply:
        failure = pb.Failure(
            code="not-found", message=f"there is no session {request.session}", hint="see `warmcell ps`"
        )
        context.set_trailing_metadata((("warmcell-failure-bin", failure.SerializeToString()),))
        context.abort(grpc.StatusCode.NOT_FOUND, "no")

    def Stop(self, request: pb.StopRequest, context: grpc.ServicerContext) -> pb.StopReply:
        return pb.StopReply()

    def Exit(self, request: pb.ExitRequest, context: grpc.ServicerContext) -> pb.ExitReply:
        return self.exit_reply

    def AddToken(self, request: pb.AddTokenRequest, context: grpc.ServicerContext) -> pb.AddTokenReply:
        return pb.AddTokenReply(token="wc_12345678_x")

    def ListTokens(self, request: pb.ListTokensRequest, context: grpc.ServicerContext) -> pb.TokenTable:
        return pb.TokenTable()

    def Revoke(self, request: pb.RevokeRequest, context: grpc.ServicerContext) -> pb.RevokeReply:
        return pb.RevokeReply()

    def Doctor(self, request: pb.DoctorRequest, context: grpc.ServicerContext) -> pb.DoctorReply:
        return pb.DoctorReply()
    def Build(self, request: pb.BuildRequest, context: grpc.ServicerContext) -> Iterator[pb.BuildUpdate]:
        yield pb.BuildUpdate(built=pb.Built(digest="0" * 64))

    def Supply(self, request: pb.SupplyRequest, context: grpc.ServicerContext) -> pb.SupplyReply:
        return pb.SupplyReply(size_bytes=request.offset + len(request.content))

    def Relay(self, frames: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        self.shown = dict(context.invocation_metadata())
        return self.worker.attach(frames, context)


class Server:
    """A gRPC server on a Unix socket, as a context manager."""

    def __init__(self, socket: Path, service: str, handlers: dict[str, grpc.RpcMethodHandler]) -> None:
        self._server = grpc.server(ThreadPoolExecutor(16), options=CHANNEL_OPTIONS)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        self._server.add_insecure_port(f"unix:{socket}")

    def __enter__(self) -> Server:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._server.stop(0).wait(10)


def serve_worker(worker: Worker, socket: Path) -> Server:
    return Server(socket, WORKER_SERVICE, {"Attach": grpc.stream_stream_rpc_method_handler(worker.attach)})


def serve_gateway(gateway: GatewayStandIn, socket: Path) -> Server:
    served = {name: method for name, method in GATEWAY.items() if hasattr(gateway, name)}
    handlers = {name: _handler(method, getattr(gateway, name)) for name, method in served.items()}
    return Server(socket, GATEWAY_SERVICE, handlers)


def _handler(method: Method, function: Any) -> grpc.RpcMethodHandler:
    kinds = {
        "none": grpc.unary_unary_rpc_method_handler,
        "reply": grpc.unary_stream_rpc_method_handler,
        "both": grpc.stream_stream_rpc_method_handler,
    }
    if method.request is None or method.reply is None:
        return kinds[method.streams](function)
    return kinds[method.streams](
        function, request_deserializer=method.request.FromString, response_serializer=method.reply.SerializeToString
    )
