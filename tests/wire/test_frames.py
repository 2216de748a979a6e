"""Frames survive any cut of the stream, and damage is one clear failure."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote_runtime.wire import frames, limits
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.payload import Bundle


def announced(pickle: bytes, buffers: tuple[bytes, ...], bundle_id: int = 1) -> list[bytes]:
    """The frames of a run with this bundle."""
    bundle = Bundle(pickle, tuple(memoryview(b) for b in buffers))
    message = pb.ToWorker(request_id=7, run=pb.Run(run_id="r"))
    follows = frames.announce(message.run.bundle, bundle, bundle_id)
    return [frames.control(message), *(frames.data(bundle, bundle_id) if follows else ())]


def feed(assembler: frames.Assembler, parts: list[bytes]) -> list[frames.Whole]:
    return [whole for part in parts if (whole := assembler.feed(part)) is not None]


BUNDLES = {
    "empty": (b"", ()),
    "small": (b"pickle", ()),
    "one over inline": (b"x" * (limits.INLINE_BYTES + 1), ()),
    "buffers": (b"pickle", (b"a" * 10, b"b" * 3)),
    "zero-size buffer": (b"pickle", (b"", b"b", b"")),
    "only zero-size buffers": (b"pickle", (b"",)),
    "many chunks": (b"p" * 10, (bytes(range(256)) * 10_000, b"q" * (limits.CHUNK_BYTES + 1))),
}


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_arrives_as_it_left(name: str) -> None:
    pickle, buffers = BUNDLES[name]
    (whole,) = feed(frames.Assembler(pb.ToWorker), announced(pickle, buffers))
    assert whole.message.run.run_id == "r"
    assert bytes(whole.bundle.pickle) == pickle
    assert tuple(bytes(b) for b in whole.bundle.buffers) == buffers
    assert all(not b.readonly for b in whole.bundle.buffers)


def test_a_control_frame_overtakes_a_bundle() -> None:
    first, *rest = announced(b"p", (b"x" * limits.CHUNK_BYTES * 3,))
    interrupt = frames.control(pb.ToWorker(interrupt=pb.Interrupt(run_id="r")))
    got = feed(frames.Assembler(pb.ToWorker), [first, rest[0], interrupt, *rest[1:]])
    assert [w.message.WhichOneof("body") for w in got] == ["interrupt", "run"]


@given(st.lists(st.binary(min_size=1, max_size=9).filter(lambda b: b[0] != frames.GROUP), min_size=1, max_size=9))
def test_a_group_is_its_frames(parts: list[bytes]) -> None:
    assert list(frames.ungrouped(frames.grouped(parts))) == parts


@pytest.mark.parametrize("cut", [1, 4, 7, 9, 12, 14])
def test_a_group_that_is_cut_is_damage(cut: int) -> None:
    group = frames.grouped([b"one", b"two2"])
    with pytest.raises(Failed, match="damaged"):
        list(frames.ungrouped(group[:-cut]))


def test_two_bundles_may_be_interleaved() -> None:
    one, two = announced(b"1", (b"a" * 9,), 1), announced(b"2", (b"b" * 9,), 2)
    got = feed(frames.Assembler(pb.ToWorker), [one[0], two[0], one[1], two[1], two[2], one[2]])
    assert [bytes(w.bundle.buffers[0][:1]) for w in got] == [b"b", b"a"]


DAMAGE = {
    "empty frame": lambda f: [b""],
    "another version": lambda f: [bytes([f[0][0] + 16]) + f[0][1:]],
    "unknown kind": lambda f: [bytes([limits.PROTOCOL << 4 | 9]) + f[0][1:]],
    "control cut": lambda f: [f[0][:-1]],
    "data before its message": lambda f: f[1:],
    "data doubled": lambda f: [f[0], f[1], f[1]],
    "data lost": lambda f: [f[0], f[2]],
    "data cut to its head": lambda f: [f[0], f[1][:13]],
    "data swapped": lambda f: [f[0], f[2], f[1]],
    "announced twice": lambda f: [f[0], f[0]],
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_one_clear_failure(name: str) -> None:
    whole = announced(b"pp", (b"x" * (limits.CHUNK_BYTES + 5),))
    with pytest.raises(Failed, match="the stream between kernel and worker is damaged") as caught:
        feed(frames.Assembler(pb.ToWorker), DAMAGE[name](whole))
    assert caught.value.code == "protocol"


def test_a_frame_cut_anywhere_never_delivers_a_wrong_bundle() -> None:
    parts = announced(b"pickle", (bytes(range(200)),))
    for index, part in enumerate(parts):
        for cut in range(len(part)):
            torn = [*parts[:index], part[:cut], *parts[index + 1 :]]
            try:
                got = feed(frames.Assembler(pb.ToWorker), torn)
            except Failed:
                continue
            assert not any(w.bundle and w.bundle.buffers for w in got), (index, cut)


@pytest.mark.parametrize("seed", range(20))
def test_a_socket_may_cut_frames_anywhere(seed: int) -> None:
    rng = random.Random(seed)
    sent = [rng.randbytes(rng.choice((0, 1, 5, 300, 5000))) for _ in range(30)]
    stream = b"".join(map(frames.framed, sent))
    splitter, got, at = frames.Splitter(), [], 0
    while at < len(stream):
        step = rng.choice((1, 2, 7, 4096))
        got += splitter.feed(stream[at : at + step])
        at += step
    assert got == sent


def test_a_frame_above_the_limit_is_refused() -> None:
    with pytest.raises(Failed, match="longer than the limit"):
        list(frames.Splitter().feed((limits.FRAME_LIMIT_BYTES + 1).to_bytes(4, "big")))
