"""The keeper's account: blocks go on, come back, and outlive whoever wrote them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest

from remote_runtime.wire import frames, limits, payload
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.arena import Arena
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.placement import place
from remote_runtime.wire.reader import Reader
from remote_runtime.worker.ledger import Ledger

BIG = 2 * limits.MIB


class End:
    """A party with its arena and its reader, without a socket between."""

    def __init__(self, ledger: Ledger, takes_memory: bool = True) -> None:
        self.ledger, self.takes_memory = ledger, takes_memory
        self.arena, self.reader = Arena(), Reader()
        self.assembler = frames.Assembler(pb.FromWorker, self.reader.view)

    def hear_segment(self, segment: pb.Segment, fd: int | None) -> None:
        self.reader.add(segment, fd)

    def hear_freed(self, freed: pb.Freed) -> None:
        self.arena.free(freed.blocks, freed.abandoned)

    def sends(self, holder: str, **values: object) -> list[bytes]:
        """Let it send values that `holder` then holds; return the frames with the keeper's numbers."""
        bundle = payload.pack(values, namespace={}).bundle
        blocks = place(bundle, self.arena)
        for segment, fd in self.arena.news():
            self.ledger.segment(self, segment, fd)
        message = pb.FromWorker(values=pb.Values())
        follows = frames.announce(message.values.bundle, bundle, 1, blocks)
        self.ledger.lend(self, message.values.bundle, holder)
        return [frames.control(message), *(frames.data(bundle, 1, blocks) if follows else ())]

    def gets(self, message: list[bytes]) -> dict[str, object]:
        parts = list(self.ledger.delivered(message, self))
        whole = [found for part in parts if (found := self.assembler.feed(part)) is not None]
        return payload.unpack(whole[0].bundle, {})

    def tells(self) -> None:
        for freed in self.reader.freed():
            self.ledger.freed(self, freed)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    made = Ledger()
    yield made
    made.close()


@pytest.fixture
def user(ledger: Ledger) -> End:
    return End(ledger)


@pytest.fixture
def client(ledger: Ledger) -> End:
    return End(ledger)


def array(value: int = 1) -> np.ndarray:
    return np.full(BIG, value, np.uint8)


def test_a_value_goes_on_and_its_block_comes_back(client: End, user: End, ledger: Ledger) -> None:
    message = client.sends("run", x=array())
    values = user.gets(message)
    ledger.release("run")
    assert client.arena.stats.block_count == 1
    assert np.array_equal(values.pop("x"), array())
    user.tells()
    assert (client.arena.stats.block_count, ledger.block_count) == (0, 0)


def test_what_was_withdrawn_comes_back_at_once(client: End, ledger: Ledger) -> None:
    client.sends("run", x=array())
    ledger.release("run")
    assert client.arena.stats.block_count == 0


def test_two_clients_may_use_one_number(ledger: Ledger, user: End) -> None:
    ends = [End(ledger), End(ledger)]
    for value, end in enumerate(ends):
        fd = os.memfd_create("x")
        os.pwrite(fd, bytes([value]) * BIG, 0)
        ledger.segment(end, pb.Segment(segment=7, size_bytes=BIG), fd)
    for value, end in enumerate(ends):
        header = pb.BundleHeader(blocks=[pb.Block(segment=7, size_bytes=BIG)])
        ledger.lend(end, header, "run")
        assert ledger.hand(header, user)
        assert user.reader.view(header.blocks[0])[0] == value


def test_every_client_gets_its_own(user: End, ledger: Ledger) -> None:
    message = user.sends("run", y=array(3))
    ends = [End(ledger), End(ledger), End(ledger, takes_memory=False)]
    got = [end.gets(message)["y"] for end in ends]
    got[0][:] = 9
    assert [int(y[0]) for y in got] == [9, 3, 3]
    assert [end.reader.lent_count for end in ends] == [1, 1, 0]
    ledger.release("run")
    del got
    assert user.arena.stats.block_count == 1
    for end in ends:
        end.tells()
    assert user.arena.stats.block_count == 0


def test_a_replay_to_who_has_the_block_is_a_second_value(client: End, user: End) -> None:
    message = user.sends("run", y=array(3))
    first = client.gets(message)["y"]
    first[:] = 9
    assert (client.gets(message)["y"] == 3).all()
    assert (first == 9).all()


MIXED = {
    "all in blocks": {"y": array()},
    "some too small": {"a": np.arange(2000), "y": array(), "b": np.arange(3000.0), "z": array(2)},
    "a long pickle": {"text": "words " * limits.INLINE_BYTES, "y": array(), "b": np.arange(2000)},
    "an empty one": {"e": np.empty((0, 2)), "y": array()},
    "none": {"a": 1},
}


@pytest.mark.parametrize("name", MIXED)
@pytest.mark.parametrize("takes_memory", [True, False])
def test_a_bundle_arrives_whole_by_either_way(user: End, ledger: Ledger, name: str, takes_memory: bool) -> None:
    got = End(ledger, takes_memory).gets(user.sends("run", **MIXED[name]))
    np.testing.assert_equal(got, MIXED[name])


def test_results_outlive_the_user_process(user: End, ledger: Ledger) -> None:
    message = user.sends("run", y=array(5))
    ledger.left(user)
    user.arena.close()
    for takes_memory in (True, False):
        end = End(ledger, takes_memory)
        assert (end.gets(message)["y"] == 5).all()
        end.tells()
    ledger.release("run")
    assert (ledger.block_count, ledger.segment_count) == (0, 0)


def test_what_a_lost_client_held_is_never_used_again(client: End, user: End, ledger: Ledger) -> None:
    y = client.gets(user.sends("run", y=array(1)))["y"]
    ledger.release("run")
    ledger.left(client)
    again = End(ledger).gets(user.sends("next", y=array(2)))["y"]
    assert ((y == 1).all(), (again == 2).all()) == (True, True)


def test_what_a_dead_user_process_held_is_never_used_again(client: End, user: End, ledger: Ledger) -> None:
    x = user.gets(client.sends("run", x=array(1)))["x"]
    ledger.release("run")
    ledger.left(user)
    client.sends("next", x=array(2))
    assert (x == 1).all()
    assert client.arena.stats.block_count == 1


def test_a_segment_that_is_given_back_is_closed_everywhere(client: End, user: End, ledger: Ledger) -> None:
    values = user.gets(client.sends("run", x=array()))
    ledger.release("run")
    values.clear()
    user.tells()
    client.arena.trim(idle_s=0)
    for segment, fd in client.arena.news():
        ledger.segment(client, segment, fd)
    assert user.reader.segment_count == 0
    assert ledger.segment_count == 0


def test_a_block_outside_its_segment_is_refused(client: End, ledger: Ledger) -> None:
    client.sends("run", x=array())
    segment = next(iter(client.arena._segments))
    for block in (
        pb.Block(segment=segment, offset=limits.SEGMENT_BYTES, size_bytes=1),
        pb.Block(segment=segment, offset=0, size_bytes=BIG),
        pb.Block(segment=segment + 1, size_bytes=1),
    ):
        with pytest.raises(Failed, match="outside its segment"):
            ledger.lend(client, pb.BundleHeader(blocks=[block]), "again")


def test_a_party_cannot_free_what_it_does_not_hold(client: End, user: End, ledger: Ledger) -> None:
    user.sends("run", y=array())
    ledger.freed(client, pb.Freed(blocks=[pb.Block(segment=1, size_bytes=BIG), pb.Block(segment=99)]))
    assert user.arena.stats.block_count == 1
