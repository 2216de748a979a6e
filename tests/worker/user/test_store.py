"""What a user process holds of what was sent: bounded, compared before use, never memory of two values."""

from __future__ import annotations

import gc
import mmap
from collections.abc import Iterator

import numpy as np
import pytest

from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.arena import Arena
from remote_runtime.wire.bundle import Bundle
from remote_runtime.wire.failures import EVICTED, Failed
from remote_runtime.wire.leaves import content_digest
from remote_runtime.wire.reader import Reader
from remote_runtime.worker.store import Store

MIB = 1 << 20


def content(value: bytes | np.ndarray, held: bool = False) -> pb.Content:
    size_bytes = memoryview(value).nbytes
    return pb.Content(digest=content_digest(value), size_bytes=size_bytes, buffer=1, held=held)


def bring(store: Store, value: np.ndarray) -> np.ndarray:
    """Let a value arrive by a stream."""
    whole = Bundle(b"p", (memoryview(bytearray(value)),))
    return np.frombuffer(store.restored(whole, [content(value)]).buffers[0], np.uint8)


def refer(store: Store, value: np.ndarray) -> np.ndarray:
    """Let a value arrive that does not travel."""
    spared = Bundle(b"p", (memoryview(b""),))
    return np.frombuffer(store.restored(spared, [content(value, held=True)]).buffers[0], np.uint8)


def values(count: int) -> list[np.ndarray]:
    return [np.full(MIB, number, np.uint8) for number in range(count)]


def held_count(store: Store, asked: list[np.ndarray]) -> int:
    count = 0
    for value in asked:
        try:
            assert (refer(store, value) == value).all()
            count += 1
        except Failed as failed:
            assert failed.code == EVICTED
    return count


@pytest.fixture
def store() -> Store:
    return Store(Reader(), limit_bytes=3 * MIB)


def test_what_died_is_kept_up_to_the_bound_and_the_oldest_goes_first(store: Store) -> None:
    sent = values(6)
    for value in sent:
        bring(store, value)
    assert (store.kept_bytes, store.idle_bytes) == (3 * MIB, 3 * MIB)
    assert (held_count(store, sent[:3]), held_count(store, sent[3:])) == (0, 3)


def test_what_was_used_again_is_the_latest(store: Store) -> None:
    sent = values(4)
    for value in sent[:3]:
        bring(store, value)
    refer(store, sent[0])
    bring(store, sent[3])
    assert (held_count(store, sent[:1]), held_count(store, sent[1:2])) == (1, 0)


def test_what_lives_is_known_beyond_the_bound_and_takes_no_memory(store: Store) -> None:
    sent = values(8)
    alive = [bring(store, value) for value in sent]
    assert store.idle_bytes == 0 and held_count(store, sent) == 8
    del alive
    gc.collect()
    assert store.idle_bytes <= 3 * MIB


def test_no_value_gets_memory_of_another(store: Store) -> None:
    value = values(2)[1]
    first = bring(store, value)
    second, third = refer(store, value), refer(store, value)
    for number, array in enumerate((first, second, third)):
        array[:] = number + 7
    assert [int(array[0]) for array in (first, second, third)] == [7, 8, 9]


def test_what_a_value_changed_is_not_given_to_another(store: Store) -> None:
    value = values(2)[1]
    bring(store, value)[5] = 77
    assert held_count(store, [value]) == 0
    bring(store, value)
    assert held_count(store, [value]) == 1


def test_a_value_that_changed_while_it_was_sent_is_never_taken_for_what_it_was(store: Store) -> None:
    value = values(2)[1]
    torn = Bundle(b"p", (memoryview(bytearray(value[:-1].tobytes() + b"?")),))
    arrived = store.restored(torn, [content(value)])
    assert bytes(arrived.buffers[0][-1:]) == b"?"
    assert held_count(store, [value]) == 0


def news(store: Store, which: str) -> list[pb.Content]:
    stock = store.news()
    return [] if stock is None else list(getattr(stock, which))


def test_it_tells_what_came_and_what_went_once(store: Store) -> None:
    small, large = np.ones(MIB, np.uint8), np.ones(4 * MIB, np.uint8)
    first, second = bring(store, small), bring(store, large)
    assert {c.size_bytes for c in news(store, "added")} == {MIB, 4 * MIB} and store.news() is None
    del first, second
    gc.collect()
    assert [c.size_bytes for c in news(store, "gone")] == [4 * MIB]
    assert store.clear() == MIB and [c.size_bytes for c in news(store, "gone")] == [MIB] and store.news() is None


def test_a_stretch_of_a_pickle_is_kept_too(store: Store) -> None:
    stretch = bytes(range(256)) * (MIB // 256)
    told = content(stretch)
    told.buffer, told.offset = 0, 2
    whole = store.restored(Bundle(b"ab" + stretch + b"c"), [told])
    told.held = True
    assert bytes(store.restored(Bundle(b"abc"), [told]).pickle) == bytes(whole.pickle) == b"ab" + stretch + b"c"
    assert store.clear() == MIB


def test_a_stretch_that_was_used_again_is_the_latest(store: Store) -> None:
    stretches = [bytes([number]) * MIB for number in range(4)]
    tolds = [content(stretch) for stretch in stretches]
    for told in tolds:
        told.buffer = 0
    for told, stretch in zip(tolds[:3], stretches, strict=False):
        store.restored(Bundle(stretch), [told])
    assert store.give(tolds[0]) == stretches[0]
    store.restored(Bundle(stretches[3]), [tolds[3]])
    assert store.give(tolds[0]) == stretches[0]
    with pytest.raises(Failed):
        store.give(tolds[1])


@pytest.fixture
def shared() -> Iterator[tuple[Arena, Reader]]:
    arena, reader = Arena(limit_bytes=64 * MIB), Reader()
    yield arena, reader
    arena.close()
    reader.close()


def place(arena: Arena, reader: Reader, value: np.ndarray) -> memoryview:
    block = arena.allocate(value.nbytes)
    assert block is not None
    arena.write(block, memoryview(value))
    for segment, fd in arena.news():
        reader.add(segment, fd)
    return reader.view(block)


def test_shared_memory_is_seen_twice_and_given_back_when_both_are_gone(shared: tuple[Arena, Reader]) -> None:
    arena, reader = shared
    store, value = Store(reader, 3 * MIB), np.arange(MIB, dtype=np.uint8)
    first = store.restored(Bundle(b"p", (place(arena, reader, value),)), [content(value)]).buffers[0]
    array = np.frombuffer(first, np.uint8)
    array[:100] = 0
    second = refer(store, value)
    assert (second == value).all() and (array[:100] == 0).all()
    second[200:300] = 1
    assert (array[256:300] == value[256:300]).all()
    del array, first
    gc.collect()
    assert reader.freed() == [] and (refer(store, value) == value).all()
    del second
    gc.collect()
    assert [len(freed.blocks) for freed in reader.freed()] == [1]
    assert held_count(store, [value]) == 0 and store.kept_bytes == 0


def test_what_cannot_be_mapped_again_is_sent_again(
    shared: tuple[Arena, Reader], monkeypatch: pytest.MonkeyPatch
) -> None:
    arena, reader = shared
    store, value = Store(reader, 3 * MIB), np.arange(MIB, dtype=np.uint8)
    alive = store.restored(Bundle(b"p", (place(arena, reader, value),)), [content(value)])

    def full(*_: object, **__: object) -> mmap.mmap:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr("remote_runtime.wire.reader.mmap.mmap", full)
    assert held_count(store, [value]) == 0 and alive.buffers
