"""What goes out on a session's stream: messages with their bundles, in order, and the few that may overtake.

    Parcel -> Outgoing.put   -> frames, drawn by the stream as fast as the worker reads
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

from remote_runtime.wire import contents, frames
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.bundle import Bundle
from remote_runtime.wire.lane import Laden
from remote_runtime.wire.sharing import Sharing
from remote_runtime.wire.stock import Stock


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

    Attributes:
        is_whole: Whether all of the bundle travels, whatever the worker holds.
        sent_bytes: What of the bundle was sent.
        spared_bytes: What of it the worker holds.
    """

    def __init__(self, message: pb.ToWorker, bundle: Bundle | None = None) -> None:
        self.message, self.bundle = message, bundle
        self.stage = Stage.WAITING
        self.sent_bytes = self.spared_bytes = 0
        self.is_whole = False
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

    def again(self) -> None:
        """Make it ready to be sent once more, whole: the worker has refused it and has nothing of it."""
        self.is_whole, self._sent_before = True, False
        self._move(Stage.WAITING)

    def frames(self, bundle_id: int, sharing: Sharing | None = None, stock: Stock | None = None) -> Iterator[bytes]:
        """Yield its frames; an abandoned one yields no more. Whoever draws the last one has it whole.

        Args:
            bundle_id: Unique within the stream.
            sharing: Takes large buffers where the stream has shared memory; a stream that is cut ends it too.
            stock: What the worker holds, so that it need not travel.
        """
        began, announced = time.perf_counter(), False
        message, bundle = self._spared(sharing is not None, None if self.is_whole else stock)
        blocks = self._placed(sharing, bundle)
        for frame, last in _marked(_all_frames(message, bundle, bundle_id, blocks)):
            if not self._move(Stage.SENT if last else Stage.SENDING):
                if sharing is not None and not announced:
                    sharing.take_back(blocks)
                return
            announced = True
            if last and self.bundle is not None and bundle is not None:
                self.sent_bytes, self.send_s = bundle.size_bytes, time.perf_counter() - began
                self.spared_bytes = self.bundle.size_bytes - bundle.size_bytes
            yield frame

    def _spared(self, shares: bool, stock: Stock | None) -> tuple[pb.ToWorker, Bundle | None]:
        """Return the message, to be filled, and what of the bundle must travel."""
        if self.bundle is None or self.stage is Stage.ABANDONED:
            return self.message, self.bundle
        message = pb.ToWorker()
        message.CopyFrom(self.message)
        told = contents.told(self.bundle, stock, shares)
        getattr(message, message.WhichOneof("body")).bundle.contents.extend(told)
        return message, contents.spared(self.bundle, told)

    def _placed(self, sharing: Sharing | None, bundle: Bundle | None) -> Sequence[pb.Block]:
        if sharing is None:
            return ()
        sharing.report()
        return sharing.place(bundle) if bundle is not None and self.stage is not Stage.ABANDONED else ()

    def _move(self, stage: Stage) -> bool:
        with self._lock:
            if self.stage is not Stage.ABANDONED:
                self.stage = stage
            return self.stage is stage


def _all_frames(
    message: pb.ToWorker, bundle: Bundle | None, bundle_id: int, blocks: Sequence[pb.Block]
) -> Iterator[bytes]:
    pieces: Iterator[bytes] = iter(())
    if bundle is not None:
        header = getattr(message, message.WhichOneof("body")).bundle
        follows = frames.announce(header, bundle, bundle_id, blocks)
        pieces = frames.data(bundle, bundle_id, blocks) if follows else pieces
    yield frames.control(message)
    yield from pieces


def _marked(items: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield each item with whether it is the last."""
    before = next(items)
    for item in items:
        yield before, False
        before = item
    yield before, True


class Outgoing:
    """The sending side of one stream.

    A stream either iterates, in a thread of its own that waits for more, or draws one frame after the other.

    Args:
        cut: Called when an upload was abandoned half-way: the peer can forget it only with the stream.
        stock: What the worker holds.

    Attributes:
        sharing: The stream's shared memory, None where it has none.
    """

    def __init__(self, cut: Callable[[], None], stock: Stock | None = None) -> None:
        self._cut, self._stock = cut, stock
        self.sharing: Sharing | None = None
        self._heralds: deque[bytes] = deque()
        self._queue: deque[Parcel] = deque()
        self._late: deque[Parcel] = deque()
        self._hurried: deque[bytes] = deque()
        self._ids = itertools.count(1)
        self._within = self._over = self._closed = False
        self._frames = self._drawn()
        self._more: SimpleQueue[None] | None = None

    @property
    def pending(self) -> bool:
        """Whether there is something to draw."""
        return bool(self._hurried or self._queue or self._late or self._within) and not self._over

    def put(self, parcel: Parcel) -> None:
        """Send a parcel behind those that wait."""
        self._queue.append(parcel)
        self._ring()

    def put_late(self, parcel: Parcel) -> None:
        """Send a parcel that nobody waits for, behind all that waits now or comes before it is drawn."""
        self._late.append(parcel)
        self._ring()

    def hurry(self, frame: bytes) -> None:
        """Send a frame before everything that waits. Safe to call from a signal handler."""
        self._hurried.append(frame)
        self._ring()

    def herald(self, message: pb.ToWorker | pb.FromWorker, fd: int | None) -> None:
        """Send what the peer must know before the parcel that is drawn just now, see `sharing.Post`."""
        frame = frames.control(message)
        self._heralds.append(frame if fd is None else Laden(frame, [fd]))

    def close(self) -> None:
        """Let the iteration end, once everything is drawn."""
        self._closed = True
        self._ring()

    def draw(self) -> bytes | None:
        """Return the next frame, None when there is none now."""
        return next(self._frames, None)

    def __iter__(self) -> Iterator[bytes]:
        self._more = more = SimpleQueue[None]()
        while not self._over:
            frame = self.draw()
            if frame is not None:
                yield frame
            elif self._closed or self._over:
                return
            elif not self.pending:
                more.get()

    def _ring(self) -> None:
        if self._more is not None:
            self._more.put(None)

    def _drawn(self) -> Iterator[bytes | None]:
        while not self._over:
            if self._hurried:
                yield self._hurried.popleft()
            elif self._queue:
                yield from self._pieces(self._queue.popleft())
            elif self._late:
                yield from self._pieces(self._late.popleft())
            else:
                yield None

    def _pieces(self, parcel: Parcel) -> Iterator[bytes]:
        for frame in parcel.frames(next(self._ids), self.sharing, self._stock):
            self._within = True
            yield from _drained(self._heralds)
            yield frame
            yield from _drained(self._hurried)
        yield from _drained(self._heralds)
        self._over = self._within and parcel.stage is Stage.ABANDONED
        self._within = False
        if self._over:
            self._cut()


def _drained(queue: deque[bytes]) -> Iterator[bytes]:
    while queue:
        yield queue.popleft()
