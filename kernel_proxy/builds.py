"""Building an image on the runtime: what the gateway lacks is sent, its log is heard, its answer is the image.

    Image.plan() -> Build -> Lacking -> Supply each file in pieces -> Build -> steps, lines -> Built
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from google.protobuf.message import Message

from kernel_proxy.errors import ImageError, RuntimeDefect
from kernel_proxy.image_steps import Plan
from remote_runtime.wire import messages_pb2 as pb

PIECE_BYTES = 4 << 20
_ROUNDS = 3


class Hearer(Protocol):
    """Who watches a build."""

    def sending(self, done_bytes: int, size_bytes: int) -> None:
        """Files are sent."""

    def step(self, begun: pb.BuildStep) -> None:
        """A step begins."""

    def line(self, text: str) -> None:
        """A line of the log has come."""


class Asked(Protocol):
    """The way to a gateway, as `runtime.Runtime` is one."""

    def updates(self, method: str, request: Message) -> Iterator[Message]:
        """Ask and yield the replies; closing the iterator withdraws the request."""

    def call(self, method: str, request: Message) -> Message:
        """Ask and wait for the one reply."""


def build(gateway: Asked, plan: Plan, hearer: Hearer, parent: str = "") -> pb.Built:
    """Build an image, or wait for who does; interrupting it cancels a build that nobody else waits for.

    Args:
        gateway: Who builds.
        plan: What.
        hearer: Told what happens.
        parent: Digest of the image to compare with; "" is the runtime's own environment.

    Raises:
        ImageError: A step failed.
        WarmcellError: The runtime cannot build it, or cannot be reached.
    """
    request = pb.BuildRequest(spec=plan.spec.json, secrets=plan.secrets, parent=parent)
    request.logins.extend(pb.Login(host=found.host, user=found.user, password=found.password) for found in plan.logins)
    for _ in range(_ROUNDS):
        answer = _heard(gateway.updates("Build", request), hearer)
        if isinstance(answer, pb.Built):
            return answer
        _supply(gateway, plan, list(answer.digests), hearer)
    raise ImageError("the runtime lost files of the image as often as they were sent",
                     "check the disk that its state directory is on")  # fmt: skip


def _heard(updates: Iterator[pb.BuildUpdate], hearer: Hearer) -> pb.Built | pb.Lacking:
    try:
        for update in updates:
            kind = update.WhichOneof("body")
            if kind in ("built", "lacking"):
                return getattr(update, kind)
            if kind == "step":
                hearer.step(update.step)
            elif kind == "line":
                hearer.line(update.line)
    finally:
        getattr(updates, "close", lambda: None)()
    raise RuntimeDefect("the gateway ended its answer without an image", "see `warmcell logs`")


def _supply(gateway: Asked, plan: Plan, digests: list[str], hearer: Hearer) -> None:
    sizes = {file.digest: file.size_bytes for file in plan.spec.files}
    whole_bytes, done_bytes = sum(sizes.get(digest, 0) for digest in digests), 0
    for digest in digests:
        if digest not in plan.sources:
            raise RuntimeDefect(f"the gateway asks for {digest[:12]}, which is no file of the image", "see its log")
        for offset, piece, is_last in _pieces(plan.sources[digest], digest):
            gateway.call("Supply", pb.SupplyRequest(digest=digest, offset=offset, content=piece, last=is_last))
            done_bytes += len(piece)
            hearer.sending(done_bytes, whole_bytes)


def _pieces(source: Path | bytes, digest: str) -> Iterator[tuple[int, bytes, bool]]:
    """Yield a file in pieces, each with whether it is the last.

    Raises:
        ImageError: The file has changed since it was looked at.
    """
    seen, offset = hashlib.sha256(), 0
    for piece, is_last in _looked_ahead(_read(source)):
        seen.update(piece)
        if is_last and seen.hexdigest() != digest:
            raise ImageError(f"{source} has changed while the image was built", "build it again")
        yield offset, piece, is_last
        offset += len(piece)


def _read(source: Path | bytes) -> Iterator[bytes]:
    if isinstance(source, bytes):
        for start in range(0, len(source), PIECE_BYTES):
            yield source[start : start + PIECE_BYTES]
        return
    try:
        with source.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece
    except OSError as error:
        raise ImageError(f"{source} cannot be read: {error.strerror}", "build the image again") from error


def _looked_ahead(pieces: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    current = next(pieces, b"")
    for following in pieces:
        yield current, False
        current = following
    yield current, True
