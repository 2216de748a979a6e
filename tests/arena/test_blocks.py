"""The allocator, held against a plain map of taken bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from remote_runtime.wire.blocks import Space

SIZE = 64


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=60))
def test_nothing_is_given_twice_and_all_of_it_comes_back(steps: list[tuple[bool, int]]) -> None:
    space, taken, bytes_taken = Space(SIZE), list[tuple[int, int]](), set[int]()
    for takes, number in steps:
        if takes:
            offset = space.take(number)
            holes = free_runs(bytes_taken)
            assert (offset is None) == (max(holes, default=0) < number)
            if offset is not None:
                block = set(range(offset, offset + number))
                assert not block & bytes_taken and max(block) < SIZE
                bytes_taken |= block
                taken.append((offset, number))
        elif taken:
            offset, size = taken.pop(number % len(taken))
            space.give(offset, size)
            bytes_taken -= set(range(offset, offset + size))
        assert space.free_bytes == SIZE - len(bytes_taken)
    for offset, size in taken:
        space.give(offset, size)
    assert space.idle
    assert list(space.ranges()) == [(0, SIZE)]


def free_runs(taken: set[int]) -> list[int]:
    runs, length = [], 0
    for byte in range(SIZE + 1):
        if byte < SIZE and byte not in taken:
            length += 1
        else:
            runs.append(length)
            length = 0
    return runs


def test_the_smallest_range_that_fits_is_taken() -> None:
    space = Space(SIZE)
    offsets = [space.take(size) for size in (10, 1, 4, 1, 20)]
    for offset, size in zip((offsets[0], offsets[2], offsets[4]), (10, 4, 20), strict=True):
        space.give(offset, size)
    assert space.take(3) == offsets[2]


def test_of_equal_ranges_the_last_one_back_is_taken() -> None:
    space = Space(35)
    offsets = [space.take(size) for size in (5, 10, 5, 10, 5)]
    space.give(offsets[3], 10)
    space.give(offsets[1], 10)
    assert space.take(10) == offsets[1]
