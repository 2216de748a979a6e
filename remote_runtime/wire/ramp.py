"""Memory that is copied before it is sure that it must travel: comparing and copying it are one pass then.

    memory --take--> a block of the arena's, and the digest of what lies there
    buffer of a bundle --found--> its block;  what no bundle has asked for --clear--> free again

Nothing depends on what is taken here being found: what is not found is copied again, as it then is.
"""

from __future__ import annotations

from remote_runtime.wire import memory
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.arena import Arena


class Ramp:
    """What was copied ahead, at one end of a connection.

    Args:
        arena: This end's memory.
    """

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._taken: dict[tuple[int, int], tuple[pb.Block, memoryview]] = {}

    def take(self, content: memoryview) -> bytes:
        """Copy memory; it is kept until `clear`, so that no other memory comes to its address.

        Args:
            content: Contiguous bytes.

        Returns:
            The digest of what was copied, see `bulk.digest`; empty where there is no room.
        """
        key = _key(content)
        self._free(self._taken.pop(key, None))
        block = self._arena.allocate(content.nbytes)
        if block is None:
            return b""
        try:
            self._arena.write(block, content)
            self._taken[key] = block, content
        except BaseException:  # Ctrl-C: nobody will ask for it
            self._arena.free([block])
            raise
        return block.digest

    def found(self, buffer: memoryview) -> pb.Block | None:
        """Return, once, the block with what a buffer held when it was taken."""
        if not self._taken:
            return None
        block, _ = self._taken.pop(_key(buffer), (None, None))
        return block

    def clear(self) -> None:
        """Let go of what nobody has asked for."""
        while self._taken:
            try:
                self._free(self._taken.popitem()[1])
            except KeyError:  # another thread was quicker
                return

    def _free(self, taken: tuple[pb.Block, memoryview] | None) -> None:
        if taken is not None:
            self._arena.free([taken[0]])


def _key(content: memoryview) -> tuple[int, int]:
    with memory.Address(content) as address:
        return address, content.nbytes
