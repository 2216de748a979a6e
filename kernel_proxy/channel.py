"""The client's one door to gRPC: channels, calls from the table of methods, each status as one of our errors.

    request -> Door.call    -> reply
    request -> Door.updates -> replies, one by one
    frames  -> Door.frames  -> frames, both ways at once

A channel connects by itself when it is first used. Whatever gRPC raises passes through `failure_of`, the one
place that knows what a status means; callers see `kernel_proxy.errors` only.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

# Read once, when gRPC is loaded: no line of its own may reach a notebook. Its fork handlers wait for open
# streams and are not needed, as a forked child never uses ours.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc  # noqa: E402
from google.protobuf.message import Message  # noqa: E402

from kernel_proxy.errors import RuntimeUnavailable, WarmcellError, from_failure  # noqa: E402
from kernel_proxy.outside import ca_bundle  # noqa: E402
from remote_runtime.wire import messages_pb2 as pb  # noqa: E402
from remote_runtime.wire.frames import ungrouped  # noqa: E402
from remote_runtime.wire.methods import (  # noqa: E402
    AUTHORIZATION,
    CHANNEL_OPTIONS,
    FAILURE,
    GATEWAY,
    GATEWAY_SERVICE,
    WORKER,
    WORKER_SERVICE,
    Method,
)

_STATUS = "grpc"
"""Detail of a failure that no server of ours has written: the bare status."""

_OPTIONS = (
    *CHANNEL_OPTIONS,
    # Each channel dials for itself, at once: a server that has just come back is not hidden by a back-off.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)

_METHODS: Mapping[str, Mapping[str, Method]] = {GATEWAY_SERVICE: GATEWAY, WORKER_SERVICE: WORKER}

_AGAIN = "run it again; if it stays, see `warmcell logs` and `warmcell doctor`"
_REACH = "start the runtime with `warmcell up`, or check WARMCELL_URL"
_TOKEN = "log in with `warmcell login URL`, or set WARMCELL_TOKEN to a token of this runtime"
_SAME = "install the same version of warmcell on both ends"

STATUSES: Mapping[grpc.StatusCode, tuple[str, str, str]] = {
    grpc.StatusCode.OK: ("internal", "ended a call that was to go on", _AGAIN),
    grpc.StatusCode.CANCELLED: ("unavailable", "gave up a call", _AGAIN),
    grpc.StatusCode.UNKNOWN: ("internal", "failed without saying why", _AGAIN),
    grpc.StatusCode.INVALID_ARGUMENT: ("protocol", "refused a message", _SAME),
    grpc.StatusCode.DEADLINE_EXCEEDED: ("unavailable", "did not answer in time", _AGAIN),
    grpc.StatusCode.NOT_FOUND: ("not-found", "does not have what was asked for", "see `warmcell ps`"),
    grpc.StatusCode.ALREADY_EXISTS: ("busy", "already has what was to be made", "see `warmcell ps`"),
    grpc.StatusCode.PERMISSION_DENIED: ("unauthorized", "does not allow this", _TOKEN),
    grpc.StatusCode.RESOURCE_EXHAUSTED: ("busy", "has no room for another call", _AGAIN),
    grpc.StatusCode.FAILED_PRECONDITION: (
        "session-lost",
        "is not in the state this call needs",
        "run the cell again",
    ),
    grpc.StatusCode.ABORTED: ("unavailable", "broke off a call", _AGAIN),
    grpc.StatusCode.OUT_OF_RANGE: ("protocol", "refused a message", _SAME),
    grpc.StatusCode.UNIMPLEMENTED: ("version-mismatch", "does not know this call", _SAME),
    grpc.StatusCode.INTERNAL: ("internal", "failed in its transport", _AGAIN),
    grpc.StatusCode.UNAVAILABLE: ("unavailable", "cannot be reached", _REACH),
    grpc.StatusCode.DATA_LOSS: ("protocol", "sent a damaged message", _AGAIN),
    grpc.StatusCode.UNAUTHENTICATED: ("unauthorized", "does not accept the token", _TOKEN),
}
"""gRPC status without a failure of ours -> code, what the server did, what to do."""


@dataclass(frozen=True)
class Address:
    """Where a server listens.

    Args:
        target: `unix:/path` or `host:port`.
        secure: Whether TLS is spoken.
        ca_file: PEM bundle to check the server against; empty means the system's.
        name: What people call it, where `target` is only the way here; empty means `target`.
    """

    target: str
    secure: bool = False
    ca_file: str = ""
    name: str = ""


def failure_of(error: grpc.RpcError, where: str) -> pb.Failure:
    """Translate what gRPC raised.

    Args:
        error: As raised by a call; it carries the status.
        where: The server, as `the gateway at 127.0.0.1:4711`.
    """
    for key, value in error.trailing_metadata() or ():
        if key == FAILURE:
            return pb.Failure.FromString(value)
    code, did, hint = STATUSES[error.code()]
    details = (error.details() or "").strip().rstrip(".")
    message = f"{where} {did}: {details}" if details else f"{where} {did}"
    return pb.Failure(code=code, message=message, hint=hint, detail={_STATUS: error.code().name})


def is_away(error: WarmcellError) -> bool:
    """Tell whether nobody answered, rather than a server that says what it lacks."""
    return error.detail.get(_STATUS) == grpc.StatusCode.UNAVAILABLE.name


class BrokenStream(Exception):
    """A stream of frames ended before its owner closed it.

    Args:
        failure: Why, with the code to raise when nobody can mend it.
    """

    def __init__(self, failure: pb.Failure) -> None:
        super().__init__(failure)
        self.failure = failure


class Door:
    """The calls of one service at one address.

    Args:
        service: A key of the method tables.
        address: Where it listens.
        token: What to show.
    """

    def __init__(self, service: str, address: Address, token: str) -> None:
        self.service, self.address = service, address
        self._token = token
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None

    @property
    def where(self) -> str:
        """The server in words, for messages."""
        noun = "the gateway" if self.service == GATEWAY_SERVICE else "the worker"
        return f"{noun} at {self.address.name or self.address.target}"

    def call(self, method: str, request: Message, timeout_s: float | None = 30.0) -> Message:
        """Ask and wait for the one reply.

        Raises:
            WarmcellError: The server refused, or cannot be reached.
        """
        callable_ = self._callable(method)
        try:
            future = callable_.future(request, timeout=timeout_s, metadata=self._metadata())
        except ValueError:  # another thread has closed the channel in between
            closed = f"the connection to {self.where} was closed in this process"
            raise RuntimeUnavailable(closed, "connect again") from None
        try:
            return future.result()  # unlike a blocking call it can be interrupted at any time
        except grpc.RpcError as error:
            raise from_failure(failure_of(error, self.where)) from None
        finally:
            future.cancel()

    def updates(self, method: str, request: Message) -> Iterator[Message]:
        """Ask and yield the replies; closing the iterator withdraws the request.

        Raises:
            WarmcellError: The server refused, or cannot be reached.
        """
        call = self._callable(method)(request, metadata=self._metadata())
        try:
            yield from call
        except grpc.RpcError as error:
            raise from_failure(failure_of(error, self.where)) from None
        finally:
            call.cancel()

    def frames(self, method: str, outgoing: Iterable[bytes], extra: Mapping[str, str] | None = None) -> Frames:
        """Open a stream of raw frames; a thread of gRPC's draws `outgoing` as fast as the peer reads."""
        call = self._callable(method)(iter(outgoing), metadata=self._metadata(extra))
        return Frames(call, self.where)

    def close(self) -> None:
        """End every call and the connection, but in a forked child; a later call opens it again."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
            _open.discard(channel)

    def _callable(self, name: str) -> grpc.MultiCallable:
        method = _METHODS[self.service][name]
        arity = {"none": "unary_unary", "reply": "unary_stream", "both": "stream_stream"}[method.streams]
        return getattr(self._connected(), arity)(
            f"/{self.service}/{name}",
            request_serializer=method.request.SerializeToString if method.request else None,
            response_deserializer=method.reply.FromString if method.reply else None,
        )

    def _connected(self) -> grpc.Channel:
        if os.getpid() != self._pid:
            raise RuntimeUnavailable(
                f"the connection to {self.where} belongs to process {self._pid}; this one was forked from it",
                "call `warmcell.connect` here, or use it in the process that opened it",
            )
        with self._lock:
            if self._channel is None:
                self._channel = _channel(self.address)
                _open.add(self._channel)
            return self._channel

    def _metadata(self, extra: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
        return [(AUTHORIZATION, f"Bearer {self._token}"), *(extra or {}).items()]


class Frames:
    """One open stream of raw frames, as `stream.FrameStream`: a thread of gRPC's sends, one of ours reads.

    Args:
        call: gRPC's rendezvous.
        where: The server in words.
    """

    arena_bytes = 0

    def __init__(self, call: grpc.Call, where: str) -> None:
        self._call, self._where = call, where

    def serve(self, take: Callable[[bytes], None]) -> None:
        """Pass frames on until the stream ends, which is never in silence.

        Raises:
            BrokenStream: The stream ended, for whatever reason.
            Exception: What `take` raised.
        """
        try:
            for frame in chain.from_iterable(map(ungrouped, self._call)):
                take(frame)
        except grpc.RpcError as error:
            raise BrokenStream(failure_of(error, self._where)) from None
        raise BrokenStream(pb.Failure(code="unavailable", message=f"{self._where} closed the stream", hint=_AGAIN))

    def lead(self, ready: Callable[[], bool], deadline_s: float | None) -> bool:
        """Refuse: only one thread can read a call."""
        return False

    def nudge(self) -> None:
        """Wake nobody, as nobody leads."""

    def flush(self) -> None:
        """Leave it to gRPC's thread to send."""

    def cancel(self) -> None:
        """End the stream from this side; `serve` then ends with `BrokenStream`."""
        self._call.cancel()


_open: set[grpc.Channel] = set()
"""Every open channel, so that a forked child never collects one: that would wait for threads it lacks."""


def _channel(address: Address) -> grpc.Channel:
    if not address.secure:
        return grpc.insecure_channel(address.target, options=_OPTIONS)
    bundle = ca_bundle(address.ca_file)
    try:
        roots = Path(bundle).read_bytes() if bundle else None
    except OSError as error:
        message = f"the certificate bundle {bundle} cannot be read: {error.strerror}"
        raise RuntimeUnavailable(message, "check `ca_file` or SSL_CERT_FILE") from error
    return grpc.secure_channel(address.target, grpc.ssl_channel_credentials(roots), options=_OPTIONS)
