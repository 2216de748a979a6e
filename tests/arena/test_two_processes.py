"""Arrays cross between two processes through shared memory, and are what they would be as copies."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable

import numpy as np
import pytest

from remote_runtime.wire import limits
from tests.arena.conftest import Far

BIG = 3 * limits.MIB


def array(size: int = BIG, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, size, dtype=np.uint8)


def test_an_array_arrives_equal_writeable_and_beside_the_stream(far: Far) -> None:
    x = array()
    assert far.said("said = int(x.sum(dtype='u8')), x.flags.writeable", x=x) == str((int(x.sum(dtype="u8")), True))
    assert far.link.sent_bytes < limits.CHUNK_BYTES


def test_what_the_receiver_changes_is_its_own(far: Far) -> None:
    x = array()
    before = x.copy()
    assert far.said("x[:] = 7; said = x.min(), x.max()", x=x) == "(np.uint8(7), np.uint8(7))"
    assert np.array_equal(x, before)
    assert far.said("said = int(x.sum())") == str(7 * BIG)


def test_what_the_sender_changes_later_is_not_seen(far: Far) -> None:
    x = array()
    expected = str(int(x.sum(dtype="u8")))
    far.run("", x=x)
    x[:] = 0
    assert far.said("said = int(x.sum(dtype='u8'))") == expected


def test_an_array_comes_back_the_same_way(far: Far) -> None:
    y = far.back("back = x + 1", x=array())
    assert np.array_equal(y, array() + 1)
    y[:] = 0
    assert far.link.reader.lent_count == 1
    del y
    assert far.said("said = link.arena.stats.block_count") == "0"


def test_a_block_that_was_changed_shows_the_next_value(far: Far) -> None:
    first = far.back("import numpy as np; back = np.full(3 << 20, 1, 'u1')")
    first[::5000] = 9
    del first
    for value in (2, 3):
        again = far.back(f"back = np.full(3 << 20, {value}, 'u1')")
        assert (again == value).all()
        assert far.link.reader.lent_count == 1
        del again
    assert far.said("said = link.arena.stats.segment_count") == "1"


VALUES: dict[str, Callable[[], object]] = {
    "fortran": lambda: np.asfortranarray(array().reshape(1024, -1)),
    "a view": lambda: array()[5:-7],
    "strided": lambda: array()[::3],
    "read-only": lambda: np.frombuffer(bytes(array()), np.uint8),
    "zero size": lambda: [np.empty((0, 3)), array()],
    "twice the same": lambda: [array()] * 2,
    "two that share memory": lambda: [(x := array()), x[100:]],
    "objects": lambda: np.array([array(), "text", None], dtype=object),
    "bytearray": lambda: bytearray(array()),
    "small beside large": lambda: [array(2000), array(), array(70_000), np.float64(2)],
}


def plain(value: object) -> object:
    return value.tolist() if getattr(value, "dtype", "") == "O" else value


@pytest.mark.parametrize("name", VALUES)
def test_a_value_travels_there_and_back(far: Far, name: str) -> None:
    value = VALUES[name]()
    got = far.back("back = value", value=value)
    np.testing.assert_equal(plain(got), plain(value))
    del got
    assert far.said("del value; said = link.arena.stats.block_count") == "0"
    far.run("")
    assert far.link.arena.stats.block_count == 0


def test_identity_and_writeability_stay(far: Far) -> None:
    frozen = np.frombuffer(bytes(array()), np.uint8)
    source = "said = a is b, a.flags.writeable, c.flags.writeable"
    x = array()
    assert far.said(source, a=x, b=x, c=frozen) == "(True, True, False)"


def test_a_view_of_a_view_keeps_its_block(far: Far) -> None:
    far.run("part = memoryview(x[10:])[5:]; del x", x=array())
    far.run("")
    assert far.link.arena.stats.block_count == 1
    assert far.said("said = bytes(part[:4]); del part") == str(bytes(array()[15:19]))
    far.run("")
    assert far.link.arena.stats.block_count == 0


def test_a_thousand_sizes_do_not_leak(far: Far) -> None:
    rng = random.Random(1)
    for turn in range(1000):
        size = rng.choice((70_000, 100_000, 1_000_000, 2_500_000))
        assert far.said("said = len(x)", x=np.empty(size, np.uint8)) == str(size), turn
        assert far.link.arena.stats.block_count <= 2
    far.run("del x")
    far.run("")
    stats = far.link.arena.stats
    assert (stats.block_count, stats.taken_bytes, stats.segment_count) == (0, 0, 1)
    assert stats.ready_bytes < 12 * limits.MIB
    assert far.said("import os; said = len(os.listdir('/proc/self/fd')) < 12") == "True"


def test_a_forked_child_keeps_what_it_saw_and_reports_nothing(far: Far) -> None:
    fork = """
import os
down, up = os.pipe(), os.pipe()
child = os.fork()
if not child:
    os.read(down[0], 1)
    os.write(up[1], bytes([x.min(), x.max()]))
    del x
    link.reader.freed()
    os._exit(0)
del x
"""
    far.run(fork, x=np.full(BIG, 1, np.uint8))
    far.run("", y=np.full(BIG, 2, np.uint8))
    far.run("del y")
    far.run("", z=np.full(BIG, 3, np.uint8))
    ask = "os.write(down[1], b'x'); said = list(os.read(up[0], 2)); os.waitpid(child, 0)"
    assert far.said(ask) == "[1, 1]"
    assert far.link.arena.stats.block_count == 1


def test_values_outlive_a_peer_that_is_killed(far: Far) -> None:
    y = far.back("back = x", x=array())
    os.kill(far.process.pid, signal.SIGKILL)
    assert far.link.receive() is None
    far.link.sharing.close()
    assert np.array_equal(y, array())
    y[:] = 1
    assert y.sum() == BIG


def test_the_receiver_keeps_its_values_when_the_sender_ends(far: Far) -> None:
    far.run("", x=array())
    far.link.arena.close()
    assert far.said("said = int(x.sum(dtype='u8'))") == str(int(array().sum(dtype="u8")))


def test_segments_that_are_given_back_are_closed_there(far: Far) -> None:
    far.run("", x=array())
    far.run("del x")
    far.run("")
    far.link.arena.trim(idle_s=0)
    assert far.said("said = link.reader.segment_count") == "0"
    assert far.said("said = len(x)", x=array()) == str(BIG)


def test_without_room_values_go_by_the_stream_and_it_is_said_once(start: Callable[..., Far]) -> None:
    far = start(limit_bytes=BIG)
    values = {"x": array(), "y": array(seed=1)}
    assert far.said("said = (x.sum(dtype='u8') + y.sum(dtype='u8')).item()", **values) == str(
        sum(int(v.sum(dtype="u8")) for v in values.values())
    )
    assert [bool(block.segment) for block in far.blocks] == [True, False]
    assert far.link.sharing.notice() == (
        "large values travel by the stream, more slowly: "
        "3.0 of 3.0 MiB of shared memory are taken, and 3.0 more are needed"
    )
    assert far.link.sharing.notice() == ""
