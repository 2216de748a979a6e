"""What goes out on a session's stream: messages with their bundles, in order, and the few that may overtake.

    Parcel -> Outgoing.put   -> frames, drawn by gRPC as fast as the worker reads
    frame  -> Outgoing.hurry -> before the next frame, even between the pieces of an upload

Pieces are cut from a bundle only when they are drawn, so an upload needs one piece of memory, not a copy.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from queue import SimpleQueue

from remote_runtime.wire import frames
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.bundle import Bundle
from remote_runtime.wire.sharing import Sharing


class Stage(Enum):
    """How far a parcel has come: waiting -> sending -> sent; waiting or sending -> abandoned."""

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    ABANDONED = "abandoned"


class Parcel:
    """A message on its way out, with the bundle it announces; it can be sent again on another stream.

    Args:
        message: The message; it is not changed.
        bundle: What travels with it.
    """

    def __init__(self, message: pb.ToWorker, bundle: Bundle | None = None) -> None:
        self.message, self.bundle = message, bundle
        self.stage = Stage.WAITING
        self.sent_bytes = 0
        self.send_s = 0.0
        self._sent_before = False
        self._lock = threading.RLock()  # a signal handler may abandon it while its own thread looks at it

    def abandon(self) -> bool:
        """Stop sending it.

        Returns:
            False if it was sent whole, so that the worker has it or will have it.
        """
        with self._lock:
            if self.stage is not Stage.SENT and not self._sent_before:
                self.stage = Stage.ABANDONED
            return self.stage is Stage.ABANDONED

    def rewind(self) -> None:
        """Make it ready to be sent on another stream; the worker may have it whole from the one before."""
        self._sent_before |= self.stage is Stage.SENT
        self._move(Stage.WAITING)

    def frames(self, bundle_id: int, sharing: Sharing | None = None) -> Iterator[bytes]:
        """Yield its frames; an abandoned one yields no more. Whoever draws the last one has it whole.

        Args:
            bundle_id: Unique within the stream.
            sharing: Takes large buffers where the stream has shared memory; a stream that is cut ends it too.
        """
        began, announced = time.perf_counter(), False
        blocks = self._placed(sharing)
        for frame, last in _marked(self._all_frames(bundle_id, blocks)):
            if not self._move(Stage.SENT if last else Stage.SENDING):
                if sharing is not None and not announced:
                    sharing.take_back(blocks)
                return
            announced = True
            yield frame
        if self.bundle is not None:
            self.sent_bytes, self.send_s = self.bundle.size_bytes, time.perf_counter() - began

    def _placed(self, sharing: Sharing | None) -> Sequence[pb.Block]:
        if sharing is None:
            return ()
        if self.bundle is None or self.stage is Stage.ABANDONED:
            sharing.report()
            return ()
        return sharing.place(self.bundle)

    def _all_frames(self, bundle_id: int, blocks: Sequence[pb.Block]) -> Iterator[bytes]:
        message, pieces = self._announced(bundle_id, blocks)
        yield frames.control(message)
        yield from pieces

    def _announced(self, bundle_id: int, blocks: Sequence[pb.Block]) -> tuple[pb.ToWorker, Iterator[bytes]]:
        if self.bundle is None:
            return self.message, iter(())
        message = pb.ToWorker()
        message.CopyFrom(self.message)
        header = getattr(message, message.WhichOneof("body")).bundle
        follows = frames.announce(header, self.bundle, bundle_id, blocks)
        return message, frames.data(self.bundle, bundle_id, blocks) if follows else iter(())

    def _move(self, stage: Stage) -> bool:
        with self._lock:
            if self.stage is not Stage.ABANDONED:
                self.stage = stage
            return self.stage is stage


def _marked(items: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield each item with whether it is the last."""
    before = next(items)
    for item in items:
        yield before, False
        before = item
    yield before, True


class Outgoing:
    """The sending side of one stream, drawn from by a thread of gRPC's.

    Args:
        cut: Called when an upload was abandoned half-way: the peer can forget it only with the stream.
        sharing: The stream's shared memory, None where it has none.
    """

    def __init__(self, cut: Callable[[], None], sharing: Sharing | None = None) -> None:
        self._cut, self._sharing = cut, sharing
        self._queue: SimpleQueue[Parcel | bytes | None] = SimpleQueue()
        self._hurried: deque[bytes] = deque()
        self._ids = itertools.count(1)

    def put(self, parcel: Parcel) -> None:
        """Send a parcel behind those that wait."""
        self._queue.put(parcel)

    def hurry(self, frame: bytes) -> None:
        """Send a frame before everything that waits. Safe to call from a signal handler."""
        self._hurried.append(frame)
        self._queue.put(b"")  # wakes the sender; it finds the frame by itself

    def close(self) -> None:
        """Let the sender end."""
        self._queue.put(None)

    def __iter__(self) -> Iterator[bytes]:
        for parcel in iter(self._queue.get, None):
            yield from self._overtaking()
            if not isinstance(parcel, Parcel):
                continue
            began = False
            for frame in parcel.frames(next(self._ids), self._sharing):
                began = True
                yield frame
                yield from self._overtaking()
            if began and parcel.stage is Stage.ABANDONED:
                self._cut()
                return

    def _overtaking(self) -> Iterator[bytes]:
        while self._hurried:
            yield self._hurried.popleft()
