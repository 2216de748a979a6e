"""What a run prints and shows, in order: text into a shared tail, tail and displays as frames to the keeper.

    print -> TextStream -> Outputs.put -> tail (shared memory) --flush--> Stream event -> socket
    display, result, end -> Outputs.event: flush, then their own frame -> socket
    within an Output widget's `with`: text -> the widget's capture, and nothing of the above

Everything belongs to the run that the printing code belongs to (origin.py), which need not be the one that runs now.

The tail is memory that the keeper also holds: what was written there outlives this process, whatever kills
it. A stream frame carries the offset of its text, so the keeper knows which part of a dead process's tail it
has already. A full socket blocks whoever prints, so a cell that prints without end fills no memory.

In a forked child nothing of this is ours: its text goes to descriptors 1 and 2.
"""

from __future__ import annotations

import mmap
import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from queue import SimpleQueue
from time import monotonic, sleep
from typing import Any

from remote_runtime.wire import frames, limits
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.bundle import Bundle
from remote_runtime.wire.lane import Laden, send_laden
from remote_runtime.wire.ramp import Ramp
from remote_runtime.wire.sharing import Sharing
from remote_runtime.worker.interrupts import Interrupts
from remote_runtime.worker.origin import CAPTURE, RUN, run_here, start_apart

LINE_S = 0.002
"""A finished line waits so long after the last flush: many travel as one frame, a single one at once."""

REST_S = 0.010
"""Text without a line's end waits so long."""

REPORT_S = 0.020
"""A run that lasts so long tells meanwhile which memory is free again; a shorter one when it has ended."""

PIECE_BYTES = 1 * limits.MIB
"""Text of one frame, where a single write is longer than the tail."""


class Tail:
    """Shared memory: start offset (8 bytes), length (4), is stderr (1), padding (3), then the text in utf-8.

    Each of the two words is stored at once: a kill between any two instructions leaves a readable tail.

    Args:
        fd: A memfd of its final size.
    """

    def __init__(self, fd: int) -> None:
        self._memory = mmap.mmap(fd, os.fstat(fd).st_size)
        view = memoryview(self._memory)
        self._words, self._text = view[:16].cast("Q"), view[16:]
        self.capacity_bytes = len(self._text)
        self.offset, self.length = self._words[0], 0
        self.is_stderr = False
        self.run_id = ""

    def append(self, data: bytes) -> None:
        """Add text that fits."""
        end = self.length + len(data)
        self._text[self.length : end] = data
        self._words[1] = end | (self.is_stderr << 32)
        self.length = end

    def read(self) -> bytes:
        """Return the text that is not flushed."""
        return bytes(self._text[: self.length])

    def advance(self, count: int) -> None:
        """Forget the text: it has been sent, `count` bytes of it."""
        self.length = 0
        self._words[1] = 0
        self.offset += count
        self._words[0] = self.offset


class Outputs:
    """The one way out of the user process.

    Args:
        sock: The channel to the keeper, blocking.
        tail: Shared with the keeper.
        interrupts: Kept away while a frame is being sent.

    Attributes:
        sharing: Shared memory, None where there is none.
        shares: Whether values may go by it now.
    """

    def __init__(self, sock: socket.socket, tail: Tail, interrupts: Interrupts) -> None:
        self._sock, self._tail, self._interrupts = sock, tail, interrupts
        self._lock = threading.RLock()
        self._busy = False
        self._late: list[Callable[[], None]] = []
        self._flushed_at = 0.0
        self._flusher: SimpleQueue[None] | None = None
        self._flush_asked = False
        self._bundle_id = 0
        self._children: dict[int, list[str]] = {1: [], 2: []}
        self.forked = False
        self.run_id = ""
        self.sharing: Sharing | None = None
        self.shares = False

    @property
    def ramp(self) -> Ramp | None:
        """Where large values are copied before they are sent; None where they travel otherwise."""
        return self.sharing.ramp if self.sharing is not None and self.shares else None

    @property
    def origin(self) -> str:
        """The run that the calling code belongs to; the latest one, where nobody knows."""
        return run_here() or self.run_id

    def begin(self, run_id: str) -> None:
        """Count what this task shows from now on to a run; what is still waiting belongs to the one before."""
        self.settle()
        self.run_id = run_id
        RUN.set(run_id)

    def settle(self) -> None:
        """Send what waits, also after an interrupt that came in the middle of a write."""
        with self._lock:
            self._busy = False
            self.flush()

    def put(self, is_stderr: bool, text: str) -> None:
        """Print text."""
        capture = CAPTURE.get()
        if self.forked:
            self._put_forked(2 if is_stderr else 1, text)
        elif capture is not None and capture.is_open:
            capture.print(is_stderr, text)
        else:
            self._alone(self._store, RUN.get() or self.origin, is_stderr, text.encode("utf-8", "replace"))

    def flush(self) -> None:
        """Send what waits in the tail."""
        if self.forked:
            for fd in (1, 2):
                self._flush_forked(fd)
        elif self._tail.length or self._late:
            self._alone(self._flush)

    def event(self, **body: Any) -> None:
        """Send an event of the calling code's run, after the text that was printed before it.

        Args:
            body: One of the event's bodies under its name; for `end` also `bundle`, what travels with it.
        """
        bundle = body.pop("bundle", None)
        self.send(pb.FromWorker(event=pb.Event(run_id=self.origin, **body)), bundle)

    def send(self, message: pb.FromWorker, bundle: Bundle | None = None) -> None:
        """Send a message with its bundle, after the text that was printed before it."""
        if not self.forked:
            self._alone(self._post, message, bundle)

    def send_raw(self, frame: bytes) -> None:
        """Send a frame that is no message."""
        self._alone(self._transmit, frame)

    def send_beside(self, message: pb.FromWorker | pb.ToWorker, fd: int | None) -> None:
        """Send a message about shared memory at once, within whatever is being sent; see `sharing.Post`."""
        frame = frames.control(message)
        self._transmit(frame if fd is None else Laden(frame, [fd]))

    def become_child(self) -> None:
        """Run in a forked child: leave the socket and the tail to the parent."""
        self.forked = True
        self._lock, self._busy, self._late = threading.RLock(), False, []
        self._sock.close()

    def _alone(self, work: Callable[..., None], *args: Any) -> None:
        """Do work that nothing comes between: no other thread, no finalizer or signal handler of this one."""
        with self._lock:
            if self._busy:
                self._late.append(partial(work, *args))
                return
            self._busy = True
            try:
                work(*args)
                while self._late:
                    self._late.pop(0)()
            finally:
                self._busy = False

    def _store(self, run_id: str, is_stderr: bool, data: bytes) -> None:
        tail = self._tail
        is_other = is_stderr is not tail.is_stderr or run_id != tail.run_id
        if is_other or tail.length + len(data) > tail.capacity_bytes:
            self._flush()
            tail.is_stderr, tail.run_id = is_stderr, run_id
            if len(data) > tail.capacity_bytes:
                self._stream_long(data)
                return
        if not tail.length:
            self._flush_soon()
        tail.append(data)
        if b"\n" in data and monotonic() - self._flushed_at > LINE_S:
            self._flush()

    def _flush(self) -> None:
        if self._tail.length:
            self._stream(self._tail.read())
        self._flushed_at = monotonic()

    def _stream(self, data: bytes) -> None:
        stream = pb.Stream(stderr=self._tail.is_stderr, text=data.decode())
        event = pb.Event(run_id=self._tail.run_id, seq=self._tail.offset, stream=stream)
        with self._interrupts:
            self._transmit(frames.control(pb.FromWorker(event=event)))
            self._tail.advance(len(data))

    def _stream_long(self, data: bytes) -> None:
        for piece in pieces(data, PIECE_BYTES):
            self._stream(piece)
        self._flushed_at = monotonic()

    def _post(self, message: pb.FromWorker, bundle: Bundle | None) -> None:
        self._flush()
        with self._interrupts:
            follow = self._announced(message, bundle) if bundle is not None else ()
            self._transmit(frames.control(message))
            for frame in follow:
                self._transmit(frame)
            if self.sharing is not None:
                self.sharing.ramp.clear()  # of what did not travel after all
                self._report(self.sharing, is_begin=message.event.HasField("started"))

    def _report(self, sharing: Sharing, is_begin: bool) -> None:
        """Tell which memory the keeper may use again; looking takes a while, so neither a run nor its end waits."""
        if not is_begin:
            sharing.report()
        elif sharing.reader.has_news:
            timer = threading.Timer(REPORT_S, self._alone, (sharing.report,))
            timer.daemon = True
            start_apart(timer)

    def _announced(self, message: pb.FromWorker, bundle: Bundle) -> Iterable[bytes]:
        """Fill the message's header; return the data frames that must follow."""
        self._bundle_id += 1
        header = message.values.bundle if message.WhichOneof("body") == "values" else message.event.end.bundle
        blocks = self.sharing.place(bundle) if self.sharing is not None and self.shares else ()
        if message.WhichOneof("body") == "event" and self.sharing is not None:
            message.event.end.notices.extend(filter(None, [self.sharing.notice("large results come")]))
        follows = frames.announce(header, bundle, self._bundle_id, blocks)
        return frames.data(bundle, self._bundle_id, blocks) if follows else ()

    def _transmit(self, frame: bytes) -> None:
        with self._interrupts:
            try:
                if isinstance(frame, Laden):
                    send_laden(self._sock, frame)
                else:
                    self._sock.sendall(frames.framed(frame))
            except OSError:  # the keeper is gone, and with it everyone who could see what is done here
                os._exit(0)

    def _flush_soon(self) -> None:
        if self._flusher is None:
            self._flusher = SimpleQueue()
            work = partial(self._flush_rests, self._flusher)
            start_apart(threading.Thread(target=work, name="outputs", daemon=True))
        if not self._flush_asked:
            self._flush_asked = True
            self._flusher.put(None)

    def _flush_rests(self, asked: SimpleQueue[None]) -> None:
        while True:
            asked.get()
            sleep(REST_S)
            with self._lock:
                self._flush_asked = False
                self.flush()

    def _put_forked(self, fd: int, text: str) -> None:
        with self._lock:
            self._children[fd].append(text)
            if "\n" in text:
                self._flush_forked(fd)

    def _flush_forked(self, fd: int) -> None:
        with self._lock:
            data = "".join(self._children[fd]).encode("utf-8", "replace")
            self._children[fd].clear()
            try:
                while data:
                    data = data[os.write(fd, data) :]
            except OSError:  # the child has closed its descriptor: nobody can be told
                pass


def pieces(data: bytes, limit_bytes: int) -> Iterator[bytes]:
    """Cut utf-8 text into pieces, each whole characters."""
    start = 0
    while start < len(data):
        end = start + limit_bytes
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        yield data[start:end]
        start = end
