"""One run as its client sees it: an iterator of numbered events, whatever happens to the connection.

    feed(event), by whoever reads -> [in order, each once] -> inbox -> __next__ -> shown -> ack

Order and uniqueness are kept here, by number: what a worker replays and was taken before is left out. One append
takes an event in, and all that is known of the run follows from the last one: an interrupt may come anywhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from kernel_proxy.bell import Bell
from kernel_proxy.errors import WarmcellError
from kernel_proxy.parcels import Parcel
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.bundle import Bundle

ACK_EVENTS = 256
"""How many shown events one acknowledgement covers; an end has one of its own."""


_Item = tuple[pb.Event, Bundle | None]


class RunStream(Iterator[pb.Event]):
    """The events of one run, ending after its one end.

    Args:
        run_id: The run.
        parcel: The `Run` or `Follow` that asks for it.
        send: Sends an acknowledgement, some time soon.
        after_seq: Number of the last event not wanted.
        wait: Waits until something is so, by the run's bell.

    Attributes:
        interrupt: An interrupt that no event has answered yet; it is sent again after a reconnect.
        following: Whether the worker was asked for events, and none has come yet.
    """

    def __init__(
        self,
        run_id: str,
        parcel: Parcel,
        send: Callable[[pb.ToWorker], None],
        after_seq: int = 0,
        wait: Callable[[Bell, Callable[[], bool]], object] = lambda bell, ready: bell.wait(ready, lambda: None),
    ) -> None:
        self.run_id = run_id
        self.parcel = parcel
        self.interrupt: pb.Interrupt | None = None
        self.following = False
        self._send, self._wait = send, wait
        self._after_seq = self._acked_seq = after_seq
        self._error: WarmcellError | None = None
        self._inbox: deque[_Item] = deque()
        self._shown: _Item | None = None
        self._bell = Bell()

    @property
    def sent_bytes(self) -> int:
        """Bytes of captured values that were handed to the connection."""
        return self.parcel.sent_bytes

    @property
    def spared_bytes(self) -> int:
        """Bytes of captured values that the session held already, though under no name that was known to be equal."""
        return self.parcel.spared_bytes

    @property
    def send_s(self) -> float:
        """Seconds that sending them took."""
        return self.parcel.send_s

    @property
    def end(self) -> pb.End | None:
        """The end, once it has arrived."""
        last = self._last
        return last[0].end if last is not None and last[0].HasField("end") else None

    @property
    def bundle(self) -> Bundle | None:
        """Values that came back, once the end has arrived."""
        last = self._last
        return last[1] if last is not None else None

    @property
    def arrived_seq(self) -> int:
        """Number of the last event that arrived here."""
        last = self._last
        return last[0].seq if last is not None else self._after_seq

    @property
    def over(self) -> bool:
        """Whether nothing more can arrive."""
        return self._error is not None or self.end is not None

    def __iter__(self) -> RunStream:
        return self

    def __next__(self) -> pb.Event:
        """Return the next event, waiting for it; asking for it says that the one before has been shown.

        Raises:
            WarmcellError: The run was refused, so it has no end.
        """
        if self._shown is not None:
            self.ack(self._shown[0].seq)
        if not self._inbox and not self.over:
            self._wait(self._bell, lambda: bool(self._inbox) or self.over)
        if not self._inbox:
            raise StopIteration if self._error is None else self._error
        self._shown = item = self._inbox[0]
        # Not popleft(): an interrupt between a call's return and the assignment would lose the event.
        del self._inbox[0]
        return item[0]

    def ack(self, seq: int) -> None:
        """Say that everything up to an event has been shown; the worker hears of it in batches."""
        if seq <= self._acked_seq:
            return
        if seq - self._acked_seq >= ACK_EVENTS or (self.end is not None and seq >= self.arrived_seq):
            self._acked_seq = seq
            self._send(pb.ToWorker(ack=pb.Ack(run_id=self.run_id, seq=seq)))

    def feed(self, event: pb.Event, bundle: Bundle | None) -> bool:
        """Take an event from the reader.

        Returns:
            Whether events are missing before it, so that the worker must be asked for them.
        """
        arrived_seq = self.arrived_seq
        if event.seq <= arrived_seq or self.over:
            return False
        if event.seq != arrived_seq + 1 and not _stands_for_earlier(event):
            missing, self.following = not self.following, True
            return missing
        self.following, self.interrupt = False, None
        self._take(event, bundle)
        return False

    def finish(self, end: pb.End, at: float) -> None:
        """End the run from this side, because the worker never will."""
        if not self.over:
            self._take(pb.Event(run_id=self.run_id, seq=self.arrived_seq + 1, at=at, end=end), None)

    def refuse(self, error: WarmcellError) -> None:
        """Take the refusal of the run: it never was, and has no end."""
        if not self.over:
            self._error = error
            self._bell.ring()

    @property
    def _last(self) -> _Item | None:
        try:
            return self._inbox[-1]
        except IndexError:
            return self._shown

    def _take(self, event: pb.Event, bundle: Bundle | None) -> None:
        self._inbox.append((event, bundle))
        self._bell.ring()


def _stands_for_earlier(event: pb.Event) -> bool:
    """Tell whether an event is a Cut for all that a log no longer has; only those were never stamped."""
    return event.HasField("cut") and not event.at
