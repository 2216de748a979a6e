"""An arena stays within its bounds, and says no where the system does."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from remote_runtime.wire import crew, limits, memory
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.arena import RETRY_S, Arena
from remote_runtime.wire.bundle import Bundle
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.placement import place, take_back
from remote_runtime.wire.reader import Reader
from tests.structure.code import ROOT

MIB = limits.MIB


def delivered(arena: Arena, reader: Reader) -> None:
    for segment, fd in arena.news():
        reader.add(segment, fd)


def test_memory_is_used_again(arena: Arena) -> None:
    first = arena.allocate(5 * MIB)
    arena.free([first])
    assert arena.allocate(5 * MIB) == first
    assert arena.stats.ready_bytes == 5 * MIB


def test_a_block_is_given_once(arena: Arena) -> None:
    blocks = [arena.allocate(MIB) for _ in range(20)]
    assert len({(b.segment, b.offset) for b in blocks}) == 20
    assert all(b.offset % memory.PAGE_BYTES == 0 for b in blocks)


def test_a_block_is_freed_once(arena: Arena) -> None:
    block = arena.allocate(MIB)
    arena.free([block])
    arena.free([block, pb.Block(segment=999, size_bytes=1)])
    assert arena.stats.taken_bytes == 0
    assert arena.allocate(MIB) != arena.allocate(MIB)


def test_one_segment_holds_a_whole_bundle(arena: Arena) -> None:
    bundle = Bundle(b"", tuple(memoryview(bytes(50 * MIB)) for _ in range(3)))
    assert len({block.segment for block in place(bundle, arena)}) == 1


def test_what_passes_the_limit_is_refused_and_the_rest_is_not() -> None:
    arena = Arena(limit_bytes=10 * MIB)
    sizes = (6 * MIB, 6 * MIB, 1000, 3 * MIB)
    blocks = place(Bundle(b"", tuple(memoryview(bytes(size)) for size in sizes)), arena)
    assert [bool(block.segment) for block in blocks] == [True, False, False, True]
    assert arena.refusal == "6.0 of 10.0 MiB of shared memory are taken, and 6.0 more are needed"
    take_back(arena, blocks)
    assert arena.allocate(10 * MIB).size_bytes == 10 * MIB
    assert arena.stats.size_bytes == 10 * MIB


def test_a_limit_of_zero_turns_it_off() -> None:
    arena = Arena(limit_bytes=0)
    arena.warm()
    assert place(Bundle(b"", (memoryview(bytes(MIB)),)), arena) == []
    assert arena.stats.segment_count == 0


def test_an_idle_segment_is_given_back() -> None:
    now = 0.0
    arena = Arena(clock=lambda: now)
    block = arena.allocate(MIB)
    (told, fd), *_ = arena.news()
    os.close(fd)
    arena.trim()
    arena.free([block])
    arena.trim()
    assert arena.stats.segment_count == 1
    now += limits.ARENA_IDLE_S
    arena.trim()
    assert arena.stats.segment_count == 0
    assert arena.news() == [(pb.Segment(segment=told.segment), None)]
    assert arena.allocate(MIB).segment > told.segment


def test_memory_goes_back_to_the_system_though_a_reader_maps_it(arena: Arena, reader: Reader) -> None:
    block = arena.allocate(20 * MIB)
    ((segment, fd),) = arena.news()
    reader.add(segment, os.dup(fd))
    assert os.fstat(fd).st_blocks * 512 == 20 * MIB
    arena.free([block])
    arena.trim(idle_s=0)
    assert os.fstat(fd).st_blocks == 0
    os.close(fd)


def test_what_is_abandoned_is_never_used_again(arena: Arena, reader: Reader) -> None:
    kept, lost = arena.allocate(MIB), arena.allocate(MIB)
    arena.write(lost, memoryview(b"x" * MIB))
    delivered(arena, reader)
    view = reader.view(lost)
    arena.free([lost], abandoned=True)
    assert arena.allocate(MIB).segment != lost.segment
    assert arena.stats.block_count == 2
    arena.free([kept])
    assert [segment.segment for segment, fd in arena.news() if fd is None] == [lost.segment]
    assert bytes(view) == b"x" * MIB


def test_a_closed_arena_gives_nothing(arena: Arena) -> None:
    block = arena.allocate(MIB)
    arena.close()
    arena.write(block, memoryview(bytes(MIB)))
    arena.free([block])
    assert arena.allocate(MIB) is None


def test_warm_memory_is_what_the_first_value_gets(arena: Arena) -> None:
    arena.warm(2 * MIB)
    assert arena.stats.ready_bytes == 2 * MIB
    arena.allocate(2 * MIB)
    assert arena.stats.ready_bytes == 2 * MIB


def test_descriptors_do_not_leak() -> None:
    count = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        arena, reader = Arena(), Reader()
        block = arena.allocate(MIB)
        delivered(arena, reader)
        view = reader.view(block)
        arena.close()
        reader.close()
        del view, arena, reader
    assert len(os.listdir("/proc/self/fd")) == count


@pytest.mark.parametrize("size", [0, 1, 70_000, crew.SPLIT_BYTES, 3 * crew.SPLIT_BYTES + 1])
def test_bytes_are_copied(arena: Arena, reader: Reader, size: int) -> None:
    source = os.urandom(size)
    block = arena.allocate(size)
    arena.write(block, memoryview(source))
    delivered(arena, reader)
    assert bytes(reader.view(block)) == source


def test_two_readers_of_a_block_do_not_see_each_other(arena: Arena) -> None:
    block = arena.allocate(MIB)
    arena.write(block, memoryview(b"x" * MIB))
    ((segment, fd),) = arena.news()
    views = []
    for reader in (Reader(), Reader()):
        reader.add(segment, os.dup(fd))
        views.append(reader.view(block))
    os.close(fd)
    views[0][:3] = b"abc"
    assert [bytes(view[:3]) for view in views] == [b"abc", b"xxx"]


DAMAGE: dict[str, Callable[[pb.Block], pb.Block]] = {
    "an unknown segment": lambda b: pb.Block(segment=b.segment + 1, size_bytes=8),
    "past the end": lambda b: pb.Block(segment=b.segment, offset=limits.SEGMENT_BYTES, size_bytes=8),
    "in use": lambda b: b,
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_block_that_cannot_be_is_refused(arena: Arena, reader: Reader, name: str) -> None:
    block = arena.allocate(MIB)
    delivered(arena, reader)
    view = reader.view(block)
    with pytest.raises(Failed, match="the stream between kernel and worker is damaged"):
        reader.view(DAMAGE[name](block))
    del view
    assert [list(freed.blocks) for freed in reader.freed()] == [[block]]


def test_a_segment_shorter_than_announced_is_refused(reader: Reader) -> None:
    with pytest.raises(Failed, match="shorter than announced"):
        reader.add(pb.Segment(segment=1, size_bytes=2 * MIB), memory.create(MIB))


def test_a_segment_cannot_be_cut_under_its_reader(arena: Arena) -> None:
    arena.allocate(MIB)
    ((_, fd),) = arena.news()
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)
    os.close(fd)


def test_a_limit_on_file_sizes_is_a_refusal() -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    now = 0.0
    arena = Arena(clock=lambda: now)
    assert signal.getsignal(signal.SIGXFSZ) == signal.SIG_IGN
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, before[1]))
    try:
        assert place(Bundle(b"", (memoryview(bytes(2 * MIB)),)), arena) == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "the system gives no more shared memory: File too large" in arena.refusal
    assert arena.allocate(2 * MIB) is None
    now += RETRY_S
    assert arena.allocate(2 * MIB) is not None


FULL = """
from remote_runtime.wire.arena import Arena
arena = Arena(directory="{place}")
blocks = [arena.allocate(3 << 20) for _ in range(3)]
arena.write(blocks[0], memoryview(b"x" * (3 << 20)))
print(*map(bool, blocks), arena.refusal, arena.stats.block_count)
"""


def test_a_full_memory_file_system_is_a_refusal_and_no_signal(tmp_path: Path) -> None:
    script = FULL.format(place=tmp_path)
    mounted = f"mount -t tmpfs -o size=8m none {tmp_path} && exec {sys.executable} -c '{script}'"
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounted]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"no mount of one's own here: {done.stderr.strip()}")
    assert done.stdout.strip() == "True True False the system gives no more shared memory: No space left on device 2"

