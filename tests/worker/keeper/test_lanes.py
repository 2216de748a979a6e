"""The keeper's plain socket: who may come in, what a stranger can fill, and descriptors on their way through."""

from __future__ import annotations

import os
import stat

import pytest

from remote_runtime.wire import frames, limits
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.lane import Laden, path_of
from tests.worker.keeper.conftest import Start
from tests.worker.keeper.lanelink import LaneLink
from tests.worker.keeper.link import LiveZygote, text_of, until


def memory(content: bytes) -> int:
    fd = os.memfd_create("test", os.MFD_CLOEXEC)
    os.write(fd, content)
    return fd


def test_the_lane_is_the_users_alone_and_goes_with_the_keeper(start: Start) -> None:
    keeper = start()
    lane = path_of(str(keeper.path))
    assert stat.S_IMODE(os.stat(lane).st_mode) == 0o600
    keeper.close()
    assert not os.path.exists(lane) and not os.path.exists(keeper.path)


def test_a_path_longer_than_a_socket_s_may_be_has_a_lane(start: Start, zygote: LiveZygote) -> None:
    deep = "d" * (limits.UNIX_PATH_BYTES - len(os.fsencode(zygote.folder)) - len("//workers"))
    (zygote.folder / deep).mkdir()
    keeper = start(worker_id=f"{deep}/workers").claim(link=LaneLink)
    assert len(path_of(str(keeper.path))) > limits.UNIX_PATH_BYTES
    assert keeper.client().run("channel.text('hello')").end().status == "ok"


def test_a_stranger_s_long_frame_is_refused_unread(start: Start) -> None:
    stranger = LaneLink(str(start().claim().path))
    stranger.sock.sendall((40 * limits.MIB).to_bytes(4, "big"))
    assert stranger.get().failure.code == "protocol"
    with pytest.raises(EOFError):
        stranger.get()
    stranger.close()


def test_shared_memory_does_not_travel_over_grpc(start: Start) -> None:
    client = start().claim().client()
    client.send(request_id=4, segment=pb.Segment(segment=3, size_bytes=5))
    failure = client.get()
    assert failure.request_id == 4 and "without its descriptor" in failure.failure.message
    assert client.run("channel.text('on')").end().status == "ok"


def test_descriptors_nobody_takes_are_closed(start: Start) -> None:
    keeper = start().claim(link=LaneLink)
    client = keeper.client()
    before = open_count(keeper.pid)
    for _ in range(40):
        client.raw(Laden(frames.control(pb.ToWorker(list_runs=pb.ListRuns())), [memory(b"x"), memory(b"y")]))
        client.get()
    until(lambda: open_count(keeper.pid) <= before, "the descriptors' end")


def test_a_client_of_each_kind_follows_the_same_run(start: Start) -> None:
    keeper = start().claim()
    one, other = keeper.client(), keeper.client(link=LaneLink)
    one.run("for i in range(50): channel.text(str(i))").end()
    other.send(follow=pb.Follow(run_id="r1"))
    assert text_of(list(other.events())) == "".join(map(str, range(50)))


def open_count(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))
