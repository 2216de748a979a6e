"""The zygote's packets: what is sent arrives, with its descriptors, and damage closes them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from remote_runtime.wire import forking


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, two:
        yield one, two


def open_count() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_message_and_its_descriptors_arrive(pair: tuple[socket.socket, socket.socket]) -> None:
    reading, writing = os.pipe()
    forking.send(pair[0], {"op": "user", "worker_id": "w"}, [writing])
    message, (fd,) = forking.receive(pair[1])
    assert message == {"op": "user", "worker_id": "w"} and not os.get_inheritable(fd)
    os.write(fd, b"x")
    assert os.read(reading, 9) == b"x"
    for each in (reading, writing, fd):
        os.close(each)


def test_a_closed_peer_is_none(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[0].close()
    assert forking.receive(pair[1]) is None


def test_nothing_there_blocks_nobody(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        forking.receive(pair[1])


@pytest.mark.parametrize("packet", [b"no json", b"[1]", b"\xff\xfe"])
def test_a_damaged_packet_leaves_no_descriptor_open(pair: tuple[socket.socket, socket.socket], packet: bytes) -> None:
    before = open_count()
    socket.send_fds(pair[0], [packet], [0, 1])
    with pytest.raises(ValueError):
        forking.receive(pair[1])
    assert open_count() == before


def test_a_packet_too_long_is_not_sent(pair: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(ValueError, match="longer than"):
        forking.send(pair[0], {"op": "x" * forking.PACKET_BYTES})
