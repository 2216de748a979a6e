"""Bundles with blocks of shared memory, on their way from the keeper to a party that may not be able to map them.

    request, its upload --hand_on--> user process: the blocks, or data frames for all of it
    message of a user process --Delivery--> client: the same, drawn at the client's pace
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from remote_runtime.wire import frames
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.worker.child import Child
from remote_runtime.worker.ledger import Ledger
from remote_runtime.worker.upload import Upload


def hand_on(ledger: Ledger, child: Child, message: pb.ToWorker, upload: Upload) -> None:
    """Send a request to the user process, with the bundle that it announces.

    Args:
        ledger: Holds its blocks for the upload.
        child: The user process.
        message: Its header names blocks by the keeper's numbers.
        upload: The pieces that lie in no block, here already or still to come.
    """
    header = frames.header_of(message)
    if header is None or ledger.hand(header, child):
        bundle_id = header.bundle_id if header is not None else 0
        child.write(frames.control(message))
        upload.open(lambda piece: child.write_piece(piece, bundle_id))
        upload.let_go()
        return
    child.write(frames.control(_plain(message)))
    rest = _Rest(ledger, header, frames.awaits_data(message), child.write, upload.let_go)
    upload.open(rest.take)
    rest.look()


class _Rest:
    """The pieces of a bundle whose blocks must travel as data frames between them.

    Args:
        ledger: Reads the blocks.
        header: The bundle's, with its blocks.
        rest_bytes: Pieces to come.
        write: Takes the data frames, once all pieces are there.
        done: Called then.
    """

    def __init__(
        self,
        ledger: Ledger,
        header: pb.BundleHeader,
        rest_bytes: int,
        write: Callable[[bytes], None],
        done: Callable[[], None],
    ) -> None:
        self._ledger, self._header, self._rest_bytes = ledger, header, rest_bytes
        self._write, self._done = write, done
        self._pieces: list[bytes] = []

    def take(self, piece: frames.Piece) -> None:
        """Take the next piece."""
        self._pieces.append(frames.data_frame(piece.bundle_id, piece.offset, piece.content))
        self._rest_bytes -= piece.content.nbytes
        self.look()

    def look(self) -> None:
        """Send all, if everything is there."""
        if self._rest_bytes == 0:
            self._rest_bytes = -1
            for frame in self._ledger.streamed(self._header, self._pieces):
                self._write(frame)
            self._done()


class Delivery:
    """A message from the user process on its way to a client; it holds the blocks until it is there.

    Args:
        ledger: Holds them already, for a run or a request.
        message: A control frame and its data frames.
        to: Who gets it.
    """

    def __init__(self, ledger: Ledger, message: Sequence[bytes], to: object) -> None:
        self._ledger, self._message, self._to = ledger, message, to
        self._over = False
        header = frames.header_of(frames.parse(pb.FromWorker, message[0]))
        if header is not None:
            ledger.hold(header, self)

    def frames(self) -> Iterator[bytes]:
        """Yield its frames, each once the one before was taken."""
        for frame in self._ledger.delivered(self._message, self._to):
            yield frame
            if self._over:
                return
        self.close()

    def close(self) -> None:
        """Let go of the blocks, sent or not."""
        self._over = True
        self._ledger.release(self)


def _plain(message: pb.ToWorker) -> pb.ToWorker:
    """Return a message whose header names no blocks."""
    plain = pb.ToWorker()
    plain.CopyFrom(message)
    header = frames.header_of(plain)
    if header is not None:
        header.ClearField("blocks")
    return plain
