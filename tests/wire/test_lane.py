"""Frames on a plain socket: cut anywhere they are whole again, and descriptors stay with their frame or are closed."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remote_runtime.wire import limits
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.lane import FDS_MOST, Backlog, Laden, LaneReader, fds_of, send_laden

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def pipe_end() -> int:
    reading, writing = os.pipe()
    os.close(writing)
    return reading


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def passed(frames: list[bytes], pair: Pair) -> list[bytes]:
    """Send frames and read them while the socket takes them by portions."""
    backlog, reader, got = Backlog(), LaneReader(), []
    for frame in frames:
        backlog.add(frame)
    while len(got) < len(frames):
        backlog.send(pair[0])
        got += reader.receive(pair[1])
    assert not backlog and backlog.size_bytes == 0
    return got


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.sampled_from([0, 1, 3, 4, 5, 1000, 262_140, 262_144, 300_000, 2_000_000]), min_size=1, max_size=9))
def test_frames_of_any_size_arrive_as_they_were(sizes: list[int], pair: Pair) -> None:
    frames = [bytes([n + 1]) * size for n, size in enumerate(sizes)]
    assert passed(frames, pair) == frames


@pytest.mark.parametrize("step", [1, 2, 3, 5, 7])
def test_a_frame_may_come_in_pieces(step: int, pair: Pair) -> None:
    reader, got = LaneReader(), []
    sent = b"".join(len(frame).to_bytes(4, "big") + frame for frame in (b"one", b"", b"three"))
    for start in range(0, len(sent), step):
        pair[0].sendall(sent[start : start + step])
        got += reader.receive(pair[1])
    assert got == [b"one", b"", b"three"]


def test_descriptors_come_with_their_own_frame(pair: Pair) -> None:
    fds = [os.memfd_create(f"m{n}") for n in range(3)]
    for n, fd in enumerate(fds):
        os.write(fd, b"%d" % n)
    frames = [b"plain", Laden(b"one", fds[:1]), b"x" * 500_000, Laden(b"two", fds[1:]), b"last"]
    got = passed(frames, pair)
    assert got == frames
    arrived = [fds_of(frame) for frame in got]
    assert [[os.pread(fd, 9, 0) for fd in found] for found in arrived] == [[], [b"0"], [], [b"1", b"2"], []]
    assert all(os.get_inheritable(fd) is False for found in arrived for fd in found)
    for fd in (fd for found in arrived for fd in found):
        os.close(fd)


def test_a_blocking_socket_sends_descriptors_too(pair: Pair) -> None:
    send_laden(pair[0], Laden(b"frame", [pipe_end()]))
    (frame,) = LaneReader().receive(pair[1])
    assert frame == b"frame" and len(frame.fds) == 1  # type: ignore[attr-defined]


def test_what_nobody_takes_is_closed_with_its_frame(pair: Pair) -> None:
    mine = pipe_end()
    backlog, reader = Backlog(), LaneReader()
    backlog.add(Laden(b"frame", [mine]))
    assert backlog.send(pair[0])
    assert not is_open(mine)  # it has left
    (frame,) = reader.receive(pair[1])
    (theirs,) = frame.fds  # type: ignore[attr-defined]
    assert is_open(theirs)
    del frame
    assert not is_open(theirs)


def test_a_frame_that_is_never_whole_leaves_no_descriptor_open(pair: Pair) -> None:
    reader = LaneReader()
    beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, pipe_end().to_bytes(4, "little"))]
    pair[0].sendmsg([(1 << 28 | 50).to_bytes(4, "big") + b"cut"], beside)
    before = len(os.listdir("/proc/self/fd"))
    assert reader.receive(pair[1]) == []
    assert len(os.listdir("/proc/self/fd")) == before + 1
    reader.close()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("word", "said"),
    [(limits.FRAME_LIMIT_BYTES + 1, "longer than the limit"), (2 << 28 | 1, "0 descriptors came beside a frame")],
)
def test_damage_is_told_after_what_came_whole(word: int, said: str, pair: Pair) -> None:
    reader = LaneReader()
    pair[0].sendall(b"\0\0\0\4good" + word.to_bytes(4, "big") + b"x")
    assert reader.receive(pair[1]) == [b"good"]
    assert reader.has_more, "nothing else would tell who waits for the next byte"
    with pytest.raises(Failed, match=said):
        reader.receive(pair[1])


def test_descriptors_without_frames_are_damage(pair: Pair) -> None:
    reader = LaneReader()
    with pytest.raises(Failed, match="came without their frames"):
        for _ in range(3):
            fds = [pipe_end() for _ in range(FDS_MOST)]
            socket.send_fds(pair[0], [b"\0"], fds)
            for fd in fds:
                os.close(fd)
            reader.receive(pair[1])


def test_a_closed_peer_is_told(pair: Pair) -> None:
    pair[0].close()
    with pytest.raises(EOFError):
        LaneReader().receive(pair[1])


def test_too_many_descriptors_are_refused_and_closed() -> None:
    fds = [pipe_end() for _ in range(FDS_MOST + 1)]
    with pytest.raises(ValueError, match="expected 1 to 8"):
        Laden(b"frame", fds)
    assert not any(map(is_open, fds))
