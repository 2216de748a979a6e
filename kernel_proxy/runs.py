"""One run as its client sees it: an iterator of numbered events, whatever happens to the connection.

    reader thread -> feed(event) -> [in order, each once] -> inbox -> __next__ -> shown -> ack

Order and uniqueness are kept here, by number: what a worker replays and was taken before is left out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from queue import SimpleQueue

from kernel_proxy import waiting
from kernel_proxy.errors import WarmcellError
from kernel_proxy.parcels import Parcel
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.bundle import Bundle

ACK_EVENTS = 256
"""How many shown events one acknowledgement covers; the end is acknowledged at once."""


class RunStream(Iterator[pb.Event]):
    """The events of one run, ending after its one end.

    Args:
        run_id: The run.
        parcel: The `Run` or `Follow` that asks for it.
        send: Sends an acknowledgement.
        after_seq: Number of the last event not wanted.

    Attributes:
        bundle: Values that came back, once the end has arrived.
        end: The end, once it has arrived.
        interrupt: An interrupt that no event has answered yet; it is sent again after a reconnect.
    """

    def __init__(self, run_id: str, parcel: Parcel, send: Callable[[pb.ToWorker], None], after_seq: int = 0) -> None:
        self.run_id = run_id
        self.parcel = parcel
        self.bundle: Bundle | None = None
        self.end: pb.End | None = None
        self.interrupt: pb.Interrupt | None = None
        self.following = False
        self._send = send
        self._arrived_seq = self._acked_seq = self._shown_seq = after_seq
        self._error: WarmcellError | None = None
        self._over = False
        self._inbox: deque[pb.Event] = deque()
        self._wake: SimpleQueue[None] = SimpleQueue()

    @property
    def sent_bytes(self) -> int:
        """Bytes of captured values that were handed to the connection."""
        return self.parcel.sent_bytes

    @property
    def send_s(self) -> float:
        """Seconds that sending them took."""
        return self.parcel.send_s

    @property
    def arrived_seq(self) -> int:
        """Number of the last event that arrived here."""
        return self._arrived_seq

    @property
    def over(self) -> bool:
        """Whether nothing more can arrive."""
        return self._over

    def __iter__(self) -> RunStream:
        return self

    def __next__(self) -> pb.Event:
        """Return the next event, waiting for it; asking for it says that the one before has been shown.

        Raises:
            WarmcellError: The run was refused, so it has no end.
        """
        self.ack(self._shown_seq)
        while not self._inbox:
            if self.over and not self._inbox:
                break
            waiting.take(self._wake)
        if not self._inbox:
            raise StopIteration if self._error is None else self._error
        event = self._inbox[0]
        self._shown_seq = event.seq
        # Not popleft(): an interrupt between a call's return and the assignment would lose the event.
        del self._inbox[0]
        return event

    def ack(self, seq: int) -> None:
        """Say that everything up to an event has been shown; the worker hears of it in batches."""
        ended = self.end is not None and seq >= self._arrived_seq
        if seq > self._acked_seq and (ended or seq - self._acked_seq >= ACK_EVENTS):
            self._acked_seq = seq
            self._send(pb.ToWorker(ack=pb.Ack(run_id=self.run_id, seq=seq)))

    def feed(self, event: pb.Event, bundle: Bundle | None) -> bool:
        """Take an event from the reader.

        Returns:
            Whether events are missing before it, so that the worker must be asked for them.
        """
        if self.over or event.seq <= self._arrived_seq:
            return False
        if event.seq != self._arrived_seq + 1 and not _stands_for_earlier(event):
            missing, self.following = not self.following, True
            return missing
        self.following, self.interrupt = False, None
        self._take(event, bundle)
        return False

    def finish(self, end: pb.End, at: float) -> None:
        """End the run from this side, because the worker never will."""
        if not self.over:
            self._take(pb.Event(run_id=self.run_id, seq=self._arrived_seq + 1, at=at, end=end), None)

    def refuse(self, error: WarmcellError) -> None:
        """Take the refusal of the run: it never was, and has no end."""
        if not self.over:
            self._error = error
            self._over = True
            self._wake.put(None)

    def _take(self, event: pb.Event, bundle: Bundle | None) -> None:
        ends = event.WhichOneof("body") == "end"
        if ends:
            self.bundle, self.end = bundle, event.end
        self._arrived_seq = event.seq
        self._inbox.append(event)
        self._over = ends  # last: whoever sees it finds the end in the inbox
        self._wake.put(None)


def _stands_for_earlier(event: pb.Event) -> bool:
    """Tell whether an event is a Cut for all that a log no longer has; only those were never stamped."""
    return event.HasField("cut") and not event.at
