"""Who holds which block of shared memory: the keeper's account between clients and the user process.

    Segment + descriptor --segment--> known under the keeper's own number
    header --lend--> its blocks under those numbers, held by a run or a request
           --hand--> held by the receiver too, who hears of new segments first
           --streamed--> data frames, for a receiver without shared memory
    Freed | a run forgotten | a party gone --> the last holder is out --> Freed, to whom the block belongs

The keeper maps nothing. It keeps the descriptors, so what a run returned outlives its user process. A party that
leaves without a word may still see what it holds, so those blocks go back as abandoned.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from remote_runtime.wire import frames, limits, memory
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.arriving import torn

_Key = tuple[int, int]


class Party(Protocol):
    """A client, or the user process."""

    @property
    def takes_memory(self) -> bool:
        """Whether descriptors can reach it."""

    def hear_segment(self, segment: pb.Segment, fd: int | None) -> None:
        """Send it a segment, or without a descriptor that one is gone; the descriptor is the party's to close."""

    def hear_freed(self, freed: pb.Freed) -> None:
        """Send it word of its own blocks."""


@dataclass
class _Held:
    """A block that somebody holds.

    Args:
        size_bytes: Its size.
        holders: Runs, requests and parties.
        abandoned: Whether one of them left without a word.
    """

    size_bytes: int
    holders: set[Hashable]
    abandoned: bool = False


@dataclass
class _Lent:
    """A segment.

    Args:
        source: Who writes it; None once it has left.
        theirs: Its number there.
        fd: Its descriptor.
        size_bytes: Its size.
        known: Who has been sent it.
        blocks: Offset -> what is held of it.
        gone: Whether its source has given it back.
    """

    source: Party | None
    theirs: int
    fd: int
    size_bytes: int
    known: list[Party] = field(default_factory=list)
    blocks: dict[int, _Held] = field(default_factory=dict)
    gone: bool = False


class Ledger:
    """The account of one session; used by the keeper's loop alone."""

    def __init__(self) -> None:
        self._segments: dict[int, _Lent] = {}
        self._numbers: dict[tuple[Hashable, int], int] = {}
        self._count = 0

    @property
    def segment_count(self) -> int:
        """Segments whose descriptors are open."""
        return len(self._segments)

    @property
    def block_count(self) -> int:
        """Blocks that somebody holds."""
        return sum(len(lent.blocks) for lent in self._segments.values())

    def segment(self, source: Party, segment: pb.Segment, fd: int | None) -> None:
        """Take a segment from who writes it, or the news that it is gone; the descriptor is the ledger's.

        Raises:
            Failed: code "protocol", when it is known already, came without its descriptor, or is too short.
        """
        key = (source, segment.segment)
        if not segment.size_bytes:
            number = self._numbers.pop(key, 0)
            if number:
                self._segments[number].gone = True
                self._settle(number)
            return
        if fd is None:
            raise torn(f"segment {segment.segment} came without its descriptor")
        if key in self._numbers or os.fstat(fd).st_size < segment.size_bytes:
            os.close(fd)
            raise torn(f"segment {segment.segment} was sent twice, or is shorter than announced")
        self._count += 1
        self._numbers[key] = self._count
        self._segments[self._count] = _Lent(source, segment.segment, fd, segment.size_bytes)

    def lend(self, source: Party, header: pb.BundleHeader, holder: Hashable) -> None:
        """Take a header's blocks from who wrote them.

        Args:
            source: Who sent the header.
            header: Changed in place: from now on its blocks carry the keeper's numbers.
            holder: Who holds them until they are handed on, a run or a request.

        Raises:
            Failed: code "protocol", for a block that lies in no segment or is held already; none is held then.
        """
        places = [(self._numbers.get((source, b.segment), 0), b) for b in header.blocks if b.segment]
        for number, block in places:
            lent = self._segments.get(number)
            if lent is None or block.offset + block.size_bytes > lent.size_bytes or block.offset in lent.blocks:
                raise torn(f"a block of {block.size_bytes} bytes lies outside its segment, or was sent twice")
        for number, block in places:
            block.segment = number
            self._segments[number].blocks[block.offset] = _Held(block.size_bytes, {holder})

    def refuse(self, source: Party, header: pb.BundleHeader) -> None:
        """Give a header's blocks back at once: nobody waits for what it announces.

        Raises:
            Failed: As `lend`.
        """
        self.lend(source, header, header.bundle_id)
        self.release(header.bundle_id)

    def hold(self, header: pb.BundleHeader, holder: Hashable) -> None:
        """Let somebody more hold a header's blocks, which are held already."""
        for key in _keys(header):
            self._held(key).holders.add(holder)

    def hand(self, header: pb.BundleHeader, to: Party) -> bool:
        """Let a party hold a header's blocks; it hears of new segments at once, so send the header after this.

        Returns:
            False where its blocks must travel as data frames: the party takes no descriptors, or has one of the
            blocks already and shall not get the same memory for a second value.
        """
        keys = _keys(header)
        if not to.takes_memory or any(to in self._held(key).holders for key in keys):
            return False
        try:
            for number in dict.fromkeys(number for number, _ in keys):
                self._tell(number, to)
        except OSError:  # no descriptor is left for it: data frames need none
            return False
        self.hold(header, to)
        return True

    def freed(self, party: Party, freed: pb.Freed) -> None:
        """Take a party's word that it no longer uses blocks; what it does not hold is left alone."""
        self._let_go([(block.segment, block.offset) for block in freed.blocks], party, freed.abandoned)

    def release(self, holder: Hashable) -> None:
        """A run is forgotten, or a request over: it holds nothing any more."""
        self._let_go(list(self._keys_of(holder)), holder, abandoned=False)

    def left(self, party: Party) -> None:
        """A party is gone: what it held is abandoned, what it wrote lives as long as it is held."""
        self._let_go(list(self._keys_of(party)), party, abandoned=True)
        self._numbers = {key: number for key, number in self._numbers.items() if key[0] is not party}
        for number, lent in list(self._segments.items()):
            lent.known = [other for other in lent.known if other is not party]
            if lent.source is party:
                lent.source, lent.gone = None, True
                self._settle(number)

    def close(self) -> None:
        """Close all descriptors."""
        for lent in self._segments.values():
            os.close(lent.fd)
        self._segments.clear()
        self._numbers.clear()

    def streamed(self, header: pb.BundleHeader, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the data frames of a bundle as if it had no blocks.

        Args:
            header: With the keeper's numbers. Sent without its blocks it announces these frames.
            pieces: The data frames of what does not lie in blocks.

        Raises:
            OSError: The writer has cut its memory.
        """
        rest, offset = memoryview(b"".join(frames.piece(frame).content for frame in pieces)), 0
        sizes = zip([pb.Block(), *header.blocks], [header.pickle_bytes, *header.buffer_bytes], strict=True)
        for block, size_bytes in sizes:
            for start in range(0, size_bytes, limits.CHUNK_BYTES):
                count = min(limits.CHUNK_BYTES, size_bytes - start)
                if block.segment:
                    content = memory.read(self._segments[block.segment].fd, block.offset + start, count)
                else:
                    content, rest = rest[:count], rest[count:]
                yield frames.data_frame(header.bundle_id, offset, content)
                offset += count

    def delivered(self, message: Sequence[bytes], to: Party) -> Iterator[bytes]:
        """Yield a message's frames as a party can take them.

        Args:
            message: A control frame and its data frames, from the user process, with the keeper's numbers.
            to: Who gets them.
        """
        told = frames.parse(pb.FromWorker, message[0])
        header = frames.header_of(told)
        if header is None or not header.blocks or self.hand(header, to):
            yield from message
            return
        announced = pb.FromWorker()
        announced.CopyFrom(told)
        plain = frames.header_of(announced)
        if plain is not None:
            plain.ClearField("blocks")
        yield frames.control(announced)
        yield from self.streamed(header, message[1:])

    def _tell(self, number: int, to: Party) -> None:
        lent = self._segments[number]
        if to not in lent.known:
            fd = os.dup(lent.fd)
            lent.known.append(to)
            to.hear_segment(pb.Segment(segment=number, size_bytes=lent.size_bytes), fd)

    def _held(self, key: _Key) -> _Held:
        return self._segments[key[0]].blocks[key[1]]

    def _keys_of(self, holder: Hashable) -> Iterator[_Key]:
        for number, lent in self._segments.items():
            yield from ((number, offset) for offset, held in lent.blocks.items() if holder in held.holders)

    def _let_go(self, keys: Iterable[_Key], holder: Hashable, abandoned: bool) -> None:
        """Take a holder out of blocks; what nobody holds then goes back to its source."""
        free: dict[tuple[int, bool], list[pb.Block]] = {}
        for number, offset in keys:
            lent = self._segments.get(number)
            held = lent.blocks.get(offset) if lent is not None else None
            if lent is None or held is None or holder not in held.holders:
                continue
            held.holders.discard(holder)
            held.abandoned |= abandoned
            if not held.holders:
                del lent.blocks[offset]
                block = pb.Block(segment=lent.theirs, offset=offset, size_bytes=held.size_bytes)
                free.setdefault((number, held.abandoned), []).append(block)
        for (number, lost), blocks in free.items():
            source = self._segments[number].source
            if source is not None:
                source.hear_freed(pb.Freed(blocks=blocks, abandoned=lost))
            self._settle(number)

    def _settle(self, number: int) -> None:
        """Let go of a segment that its source has given back and of which nobody holds a block."""
        lent = self._segments.get(number)
        if lent is None or not lent.gone or lent.blocks:
            return
        del self._segments[number]
        os.close(lent.fd)
        for party in lent.known:
            party.hear_segment(pb.Segment(segment=number), None)


def _keys(header: pb.BundleHeader) -> list[_Key]:
    return [(block.segment, block.offset) for block in header.blocks if block.segment]
