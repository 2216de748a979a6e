"""What surely travels is copied once, where it would be compared; what does not travel after all leaves nothing."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from remote_runtime.wire import bulk, crew
from remote_runtime.wire.arena import Arena
from remote_runtime.wire.bundle import Bundle
from remote_runtime.wire.placement import place
from remote_runtime.wire.ramp import Ramp
from tests.mirror.ends import Pair

SIZE = crew.SPLIT_BYTES + 5


class Array(np.ndarray):
    """One that can be referred to weakly."""


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, SIZE, dtype=np.uint8)


@pytest.fixture
def ramp(arena: Arena) -> Ramp:
    return Ramp(arena)


def test_what_was_taken_is_what_is_placed(arena: Arena, ramp: Ramp) -> None:
    x = noise()
    digest = ramp.take(memoryview(x))
    x[:] = 0  # what travels is what was compared
    (block,) = place(Bundle(b"", (memoryview(x),)), arena, ramp)
    assert block.digest == digest == bulk.digest(memoryview(noise()))
    assert arena.stats.block_count == 1


def test_what_no_bundle_asks_for_is_free_again_and_not_kept_alive(arena: Arena, ramp: Ramp) -> None:
    x = noise().view(Array)
    gone = weakref.ref(x)
    ramp.take(memoryview(x))
    ramp.take(memoryview(x))
    assert arena.stats.block_count == 1
    ramp.clear()
    del x
    gc.collect()
    assert gone() is None
    assert arena.stats.taken_bytes == 0


def test_another_bundle_has_a_block_of_its_own(arena: Arena, ramp: Ramp) -> None:
    x = noise()
    ramp.take(memoryview(x))
    bundle = Bundle(b"", (memoryview(x),))
    assert place(bundle, arena, ramp) != place(bundle, arena, ramp)


def test_without_room_nothing_is_taken() -> None:
    ramp = Ramp(Arena(limit_bytes=SIZE - 1))
    assert ramp.take(memoryview(noise())) == b""
    assert ramp.found(memoryview(noise())) is None


class Counted:
    """Takes nothing, and counts what it is asked to."""

    def __init__(self) -> None:
        self.count = 0

    def take(self, content: memoryview) -> bytes:
        self.count += 1
        return bulk.digest(content)


@pytest.fixture
def pair() -> Pair:
    pair = Pair()
    pair.here.do(f"import numpy as np; x = np.arange({SIZE}, dtype='u1')")
    return pair


STEPS: dict[str, tuple[str, int]] = {
    "nothing": ("", 0),
    "an equal one made anew": ("x = x.copy()", 0),
    "another one": ("x = x + 1", 1),
    "another one where few bytes tell": ("x = x.copy(); x[9999] += 1", 0),
    "changed in place": ("x += 1", 1),
    "another dtype": ("x = x.astype('f4')", 1),
    "too little of it": ("x = x[:5]", 0),
    "with gaps": ("x = np.repeat(x, 2)[::2]", 0),
    "objects": ("x = x.astype(object)", 0),
    "Fortran's order": (f"x = np.ones((2, {SIZE}), order='F')", 1),
}


@pytest.mark.parametrize("step", STEPS)
def test_only_what_surely_is_another_is_copied_ahead(pair: Pair, step: str) -> None:
    pair.send("x")
    source, expected = STEPS[step]
    pair.here.do(source)
    counted = Counted()
    delta = pair.here.weigh()
    delta.take = counted.take
    delta.weigh("x", pair.here.ns["x"])
    assert counted.count == expected
    pair.there.take(pair.here.pack(delta).bundle)
    assert np.array_equal(pair.there.ns["x"], pair.here.ns["x"])
    assert pair.here.weigh("x").same == {"x"}


def test_what_is_known_under_another_name_is_not_copied(pair: Pair) -> None:
    pair.send("x")
    pair.here.do("y = x")
    counted = Counted()
    delta = pair.here.weigh()
    delta.take = counted.take
    delta.weigh("y", pair.here.ns["y"])
    pair.there.take(pair.here.pack(delta).bundle)
    assert counted.count == 0
    assert pair.there.ns["y"] is pair.there.ns["x"]
