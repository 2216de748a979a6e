"""What came through shared memory is known by the digest it came with, exactly as long as it is what came."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from remote_runtime.wire import bulk, crew, leaves, limits, memory, seals
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.arena import Arena
from remote_runtime.wire.reader import Reader

SIZE = limits.SEALED_BYTES + 4096 + 1
SIZES = [limits.SEALED_BYTES, SIZE, crew.SPLIT_BYTES, 3 * crew.SPLIT_BYTES + 7]


def noise(size: int = SIZE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, size, dtype=np.uint8)


class Delivery:
    """One process's arena with a reader, and the arrays that went through."""

    def __init__(self) -> None:
        self.arena, self.reader = Arena(), Reader()

    def send(self, array: np.ndarray) -> tuple[pb.Block, np.ndarray]:
        block = self.arena.allocate(array.nbytes)
        assert block is not None
        self.arena.write(block, memoryview(array))
        for segment, fd in self.arena.news():
            self.reader.add(segment, fd)
        return block, np.frombuffer(self.reader.view(block), np.uint8)

    def settle(self) -> None:
        for freed in self.reader.freed():
            self.arena.free(freed.blocks, freed.abandoned)


@pytest.fixture
def delivery() -> Delivery:
    return Delivery()


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Sizes of all that is hashed to tell what memory holds."""
    sizes: list[int] = []

    def noted(content: memoryview) -> bytes:
        sizes.append(len(content))
        return was(content)

    was = bulk.xxhash.xxh3_128_digest
    monkeypatch.setattr(bulk.xxhash, "xxh3_128_digest", noted)
    yield sizes


@pytest.mark.parametrize("size", SIZES)
def test_the_digest_of_a_copy_is_that_of_its_source(delivery: Delivery, size: int) -> None:
    source = noise(size)
    block, there = delivery.send(source)
    assert block.digest == bulk.digest(memoryview(source)) == bulk.digest(memoryview(there.copy()))
    assert block.digest != bulk.digest(memoryview(noise(size, seed=1)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("place", [0, 0.5, 1])
def test_one_byte_makes_another_digest(size: int, place: float) -> None:
    changed = noise(size)
    changed[int((size - 1) * place)] += 1
    assert bulk.digest(memoryview(changed)) != bulk.digest(memoryview(noise(size)))


@pytest.mark.skipif(not Path(memory.PAGE_TABLE).exists(), reason="the system does not tell which pages were written to")
def test_what_nobody_has_written_to_is_not_hashed(delivery: Delivery, hashed: list[int]) -> None:
    source = noise()
    _, there = delivery.send(source)
    expected = leaves.array_digest(source)
    hashed.clear()
    for _ in range(2):
        assert there.sum() == source.sum()
        assert leaves.array_digest(there) == expected
    assert hashed == []


WRITES: dict[str, Callable[[np.ndarray], object]] = {
    "the first byte": lambda a: a.__setitem__(0, a[0] + 1),
    "the last byte": lambda a: a.__setitem__(-1, a[-1] + 1),
    "by a system call": lambda a: _read_into(memoryview(a)[9000:9009]),
    "by another thread": lambda a: _in_a_thread(lambda: a.fill(1)),
    "through a view": lambda a: a[5000:].reshape(-1)[3:4].fill(200),
}


def _read_into(target: memoryview) -> None:
    with open(__file__, "rb", buffering=0) as file:
        file.readinto(target)


def _in_a_thread(work: Callable[[], object]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


@pytest.mark.parametrize("how", WRITES)
def test_what_was_written_to_is_hashed(delivery: Delivery, how: str) -> None:
    _, there = delivery.send(noise())
    before = leaves.array_digest(there)
    WRITES[how](there)
    assert leaves.array_digest(there) == leaves.array_digest(there.copy()) != before


def test_what_was_written_back_is_what_it_was(delivery: Delivery) -> None:
    _, there = delivery.send(noise())
    before = leaves.array_digest(there)
    there[7] += 1
    there[7] -= 1
    assert leaves.array_digest(there) == before


def test_a_part_of_a_block_is_not_the_block(delivery: Delivery) -> None:
    _, there = delivery.send(noise(2 * SIZE))
    for part in (there[: SIZE + 5], there[5:], there[::2]):
        assert leaves.array_digest(part) == leaves.array_digest(part.copy())


def test_the_next_value_in_a_block_has_its_own_digest(delivery: Delivery) -> None:
    first, there = delivery.send(noise())
    there[0] += 1
    del there
    delivery.settle()
    second, there = delivery.send(noise(seed=1))
    assert (second.segment, second.offset) == (first.segment, first.offset)
    assert leaves.array_digest(there) == leaves.array_digest(noise(seed=1))


def test_a_seal_goes_with_its_block(delivery: Delivery) -> None:
    before = len(seals._seals)
    _, there = delivery.send(noise())
    assert len(seals._seals) == before + 1
    del there
    assert len(seals._seals) == before


def test_where_the_system_does_not_tell_all_is_hashed(
    delivery: Delivery, hashed: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "PAGE_TABLE", str(tmp_path / "none"))
    _, there = delivery.send(noise())
    hashed.clear()
    assert leaves.array_digest(there) == leaves.array_digest(noise())
    assert hashed == [SIZE, SIZE]


def test_a_digest_is_of_what_was_sent_though_the_source_changes_meanwhile(delivery: Delivery) -> None:
    source, over = noise(3 * crew.SPLIT_BYTES), threading.Event()

    def change() -> None:
        while not over.is_set():
            source[:: 1 << 16] += 1

    thread = threading.Thread(target=change)
    thread.start()
    try:
        sent = [delivery.send(source) for _ in range(20)]
    finally:
        over.set()
        thread.join()
    assert len({block.digest for block, _ in sent}) > 1
    assert all(block.digest == bulk.digest(memoryview(there.copy())) for block, there in sent)
