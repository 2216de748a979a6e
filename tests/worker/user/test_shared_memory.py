"""A real user process that shares memory with its keeper: values in, results out, interrupts, forks."""

from __future__ import annotations

import select
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from remote_runtime.wire import frames, payload
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.arena import Arena
from remote_runtime.wire.lane import Laden, LaneReader, fds_of, send_laden
from remote_runtime.wire.sharing import Sharing
from tests.worker.user.harness import PATIENCE_S, User, frames_header

BIG = 3 << 20


class SharingUser(User):
    """The test's end shares memory."""

    def __init__(self, directory: str) -> None:
        super().__init__(directory)
        self._reader = LaneReader()
        self.sharing = Sharing(pb.ToWorker, self._post, Arena())
        self._assembler = frames.Assembler(pb.FromWorker, self.sharing.view)

    def frame(self) -> bytes:
        if not hasattr(self, "_reader"):
            return super().frame()
        while not self._frames:
            assert select.select([self.sock], [], [], PATIENCE_S)[0], f"nothing came; stderr: {self.fds[2]}"
            self._frames += self._reader.receive(self.sock)
        return self._frames.pop(0)

    def message(self) -> frames.Whole[pb.FromWorker]:
        while True:
            frame = self.frame()
            whole = self._assembler.feed(frame)
            if whole is not None and not self.sharing.take(whole.message, next(iter(fds_of(frame)), None)):
                return whole

    def _with_bundle(self, message: pb.ToWorker, values: Mapping[str, object] | None, namespace: object = None) -> None:
        self.sharing.report()
        message.share_bytes = 1 << 30
        if values is None:
            return self.send(frames.control(message))
        bundle = payload.pack(values, namespace={"__name__": "__main__"}).bundle
        blocks = self.sharing.place(bundle)
        assert blocks or not bundle.buffers
        follows = frames.announce(frames_header(message), bundle, 1, blocks)
        return self.send(frames.control(message), *(frames.data(bundle, 1, blocks) if follows else ()))

    def _post(self, message: pb.ToWorker, fd: int | None) -> None:
        frame = frames.control(message)
        if fd is None:
            self.send(frame)
        else:
            send_laden(self.sock, Laden(frame, [fd]))

    @property
    def block_count(self) -> int:
        """Blocks of ours that the user process has not reported."""
        self.run("#")
        return self.sharing.arena.stats.block_count


@pytest.fixture
def user(tmp_path: Path) -> Iterator[SharingUser]:
    made = SharingUser(str(tmp_path))
    yield made
    made.close()
    made.sharing.close()


def array() -> np.ndarray:
    return np.arange(BIG, dtype=np.uint8)


def test_values_go_in_and_results_come_out(user: SharingUser) -> None:
    done = user.run("#\nx[:] = 255 - x\ny = x", {"x": array()})
    assert done.end.status == "ok", done.traceback
    assert [bool(block.segment) for block in done.end.bundle.blocks] == [True]
    assert np.array_equal(done.values["y"], 255 - array())
    assert user.block_count == 1
    user.run("#\ndel x, y")
    assert user.block_count == 0


def test_results_that_die_here_make_room_there(user: SharingUser) -> None:
    segments = set()
    for value in range(8):
        done = user.run(f"#\nimport numpy as np\ny = np.full({BIG}, {value}, 'u1')")
        segments |= {block.segment for block in done.end.bundle.blocks}
        y = done.values["y"]
        assert (y == value).all()
        y[::4096] = 77
    assert len(segments) == 1


def test_a_value_that_is_sent_again_frees_the_one_before(user: SharingUser) -> None:
    for _ in range(5):
        assert user.run("#\nx[0] = 1", {"x": array()}).end.status == "ok"
    assert user.block_count == 1


def test_a_handle_fetched_and_a_value_put_take_the_same_way(user: SharingUser) -> None:
    user.ask({"x": array()}, put=pb.Put())
    reply, values = user.ask(fetch=pb.Fetch(name="x"))
    assert reply.values.bundle.blocks[0].segment
    assert np.array_equal(values["x"], array())


def test_a_pool_of_forked_children_sees_what_was_sent(user: SharingUser) -> None:
    pool = """#
import os
down, up = os.pipe(), os.pipe()
child = os.fork()
if not child:
    os.read(down[0], 1)
    os.write(up[1], bytes([int(x.sum() % 251)]))
    os._exit(0)
"""
    expected = int(array().sum() % 251)
    user.run(pool, {"x": array()}, returns={"none": True})
    for _ in range(3):
        user.run("#", {"x": np.zeros(BIG, np.uint8)})
    ask = "#\nos.write(down[1], b'x'); got = os.read(up[0], 1)[0]; _ = os.waitpid(child, 0)"
    assert user.run(ask).values["got"] == expected
