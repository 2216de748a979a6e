"""Both directions of shared memory at one end of a connection; both ends have one of these.

    memory --ramp--> what will probably travel, copied ahead
    Bundle --place--> blocks, after the peer has been told what it must know   arena ==memory==> peer's reader
    message --take--> segments and freed blocks of the peer's                  reader <==memory== peer's arena

What the peer must know goes through `post`: a message, and beside it the descriptor of a new segment.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from remote_runtime.wire import limits
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.arena import Arena
from remote_runtime.wire.bundle import Bundle
from remote_runtime.wire.placement import place, take_back
from remote_runtime.wire.ramp import Ramp
from remote_runtime.wire.reader import Reader

Post = Callable[[pb.ToWorker | pb.FromWorker, int | None], None]
"""Sends a message before all that is sent later, with a descriptor beside it, which then is the callee's to close."""


class Sharing:
    """Shared memory of one connection, at one end.

    Args:
        kind: The message class this end sends.
        post: Reaches the peer.
        arena: This end's own memory.
    """

    def __init__(self, kind: type[pb.ToWorker] | type[pb.FromWorker], post: Post, arena: Arena) -> None:
        self._kind, self._post = kind, post
        self.arena, self.reader, self.ramp = arena, Reader(), Ramp(arena)
        self._ended = threading.Event()
        self._noticed = False

    def start(self) -> None:
        """Make some memory ready, and from now on give back what lies idle; both in the background."""
        threading.Thread(target=self._tend, name="warmcell-arena", daemon=True).start()

    def view(self, block: pb.Block) -> memoryview:
        """Return the memory of a block of the peer's, see `Reader.view`."""
        return self.reader.view(block)

    def place(self, bundle: Bundle) -> list[pb.Block]:
        """Copy a bundle's large buffers into shared memory and tell the peer of it; its header may follow.

        Returns:
            One block for each buffer, as `placement.place`.
        """
        blocks = place(bundle, self.arena, self.ramp)
        self.ramp.clear()
        self._tell_segments()
        return blocks

    def take_back(self, blocks: Sequence[pb.Block]) -> None:
        """Free the blocks of a bundle whose header was never sent."""
        take_back(self.arena, blocks)

    def report(self) -> None:
        """Tell the peer which of its blocks are no longer used here, and what segments came and went."""
        for freed in self.reader.freed():
            self._post(self._kind(freed=freed), None)
        self._tell_segments()

    def take(self, message: pb.ToWorker | pb.FromWorker, fd: int | None = None) -> bool:
        """Take a message of the peer's, if it is about shared memory.

        Args:
            message: Any message.
            fd: The descriptor that came beside it, if any; it is closed here when this returns True.

        Returns:
            Whether it was, so that nobody else need look at it.

        Raises:
            Failed: A segment cannot be used, see `Reader.add`.
        """
        body = message.WhichOneof("body")
        if body == "segment":
            self.reader.add(message.segment, fd)
        elif body == "freed":
            self.arena.free(message.freed.blocks, message.freed.abandoned)
        return body in ("segment", "freed")

    def notice(self, what: str = "large values travel") -> str:
        """Return, once, why values had to travel by the stream; empty when there is nothing to tell."""
        if self._noticed or not self.arena.refusal:
            return ""
        self._noticed = True
        return f"{what} by the stream, more slowly: {self.arena.refusal}"

    def close(self) -> None:
        """End with the connection; values that came or went live on."""
        self._ended.set()
        self.ramp.clear()
        self.arena.close()
        self.reader.close()

    def _tell_segments(self) -> None:
        for segment, fd in self.arena.news():
            self._post(self._kind(segment=segment), fd)

    def _tend(self) -> None:
        self.arena.warm()
        while not self._ended.wait(limits.ARENA_IDLE_S):
            self.arena.trim()
