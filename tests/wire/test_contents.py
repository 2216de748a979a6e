"""Large parts of a bundle are left out and put back, whichever of them the receiver holds."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remote_runtime.wire import contents, limits, payload
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.bundle import Bundle
from remote_runtime.wire.delta import Delta
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.leaves import content_digest
from remote_runtime.wire.mirror import Mirror
from remote_runtime.wire.stock import Stock, stock_of

LARGE = limits.CONTENT_BYTES
MAKERS = {
    "small": lambda seed: [seed, "text" * seed],
    "array": lambda seed: np.full(LARGE + seed, seed, np.uint8),
    "bytes": lambda seed: bytes([seed]) * (LARGE + 1),
    "text": lambda seed: chr(ord("a") + seed) * LARGE,
    "bytearray": lambda seed: bytearray([seed]) * LARGE,
    "empty": lambda seed: np.zeros((0, seed)),
    "below": lambda seed: np.full(LARGE - 1, seed, np.uint8),
}


class Cellar:
    """Has what it was given, like a receiver that was sent everything before."""

    def __init__(self, bundle: Bundle) -> None:
        self.held = {content_digest(view): bytes(view) for part in bundle.parts if (view := contents._view(bundle, part))}
        self.came: list[int] = []

    def give(self, content: pb.Content) -> bytearray:
        return bytearray(self.held[content.digest])

    def keep(self, content: pb.Content, held: memoryview) -> memoryview:
        assert content_digest(held) == content.digest
        self.came.append(held.nbytes)
        return held

    def keep_stretch(self, content: pb.Content, held: memoryview) -> None:
        self.keep(content, held)


def packed(*values: object) -> Bundle:
    return payload.pack({f"v{number}": value for number, value in enumerate(values)}, namespace={}).bundle


@settings(deadline=None, max_examples=40)
@given(kinds=st.lists(st.sampled_from(sorted(MAKERS)), max_size=6), seed=st.integers(0, 1 << 16))
def test_a_bundle_is_what_it_was_whatever_was_left_out(kinds: list[str], seed: int) -> None:
    bundle = packed(*(MAKERS[kind](number + 1) for number, kind in enumerate(kinds)))
    told = contents.told(bundle, None, shares=False)
    assert len(told) == sum(kind in ("array", "bytes", "text", "bytearray") for kind in kinds)
    for content in told:
        content.held = random.Random(seed).random() < 0.5
    cellar, spared = Cellar(bundle), contents.spared(bundle, told)
    left_out = sum(content.size_bytes for content in told if content.held)
    assert spared.size_bytes == bundle.size_bytes - left_out
    back = contents.restored(spared, told, cellar)
    assert bytes(back.pickle) == bytes(bundle.pickle)
    assert list(map(bytes, back.buffers)) == list(map(bytes, bundle.buffers))
    assert sum(cellar.came) == sum(content.size_bytes for content in told if not content.held)


@pytest.mark.parametrize(
    "wrong",
    [{"size_bytes": LARGE + 1}, {"buffer": 7}, {"buffer": 0, "offset": 1 << 40}, {"held": True}, {"size_bytes": 0}],
    ids=str,
)
def test_what_does_not_fit_its_bundle_is_refused(wrong: dict[str, int]) -> None:
    bundle = packed(np.ones(LARGE, np.uint8))
    told = contents.told(bundle, None, shares=False)
    for name, value in wrong.items():
        setattr(told[0], name, value)
    with pytest.raises(Failed, match="damaged"):
        contents.restored(bundle, told, Cellar(bundle))


def test_only_what_is_held_with_this_size_is_left_out() -> None:
    bundle, stock = packed(np.ones(LARGE, np.uint8)), Stock()
    digest = content_digest(bundle.buffers[0])
    stock.begin(stock_of(frozenset({(digest, LARGE + 1)})))
    assert not contents.told(bundle, stock, shares=False)[0].held
    stock.take(stock_of(frozenset({(digest, LARGE)})))
    assert contents.told(bundle, stock, shares=False)[0].held
    stock.take(stock_of(frozenset(), frozenset({(digest, LARGE)})))
    assert not contents.told(bundle, stock, shares=False)[0].held


def delta_of(**values: object) -> tuple[Bundle, Delta]:
    delta = Delta(Mirror(0), values.__getitem__)
    for name, value in values.items():
        delta.weigh(name, value)
    return payload.pack(values, namespace=dict(values), shared=delta).bundle, delta


def test_an_array_is_hashed_once_and_its_digest_is_of_what_travels() -> None:
    plain = np.arange(LARGE, dtype=np.uint8).reshape(1024, -1)
    shapes = {"c": plain, "f": np.asfortranarray(plain), "sub": plain[:], "gaps": np.repeat(plain, 2, axis=0)[::2]}
    for name, value in shapes.items():
        bundle, _ = delta_of(x=value)
        assert bool(bundle.parts[0].digest) is (name != "gaps")
        assert bundle.parts[0].digest in (b"", content_digest(contents._view(bundle, bundle.parts[0])))


def test_an_array_with_gaps_does_not_lend_its_digest_to_another_at_its_address() -> None:
    whole = np.arange(4 * LARGE, dtype=np.uint8)
    gaps, plain = whole[::2], whole[: 2 * LARGE]
    for values in ({"a": gaps, "b": plain}, {"a": plain, "b": gaps}):
        bundle, _ = delta_of(**values)
        assert sorted(bool(part.digest) for part in bundle.parts) == [False, True]
        for part in bundle.parts:
            assert part.digest in (b"", content_digest(contents._view(bundle, part)))


def test_shared_memory_is_not_read_once_more_unless_something_of_its_size_is_held() -> None:
    bundle, stock = packed(np.ones(LARGE, np.uint8), b"x" * LARGE), Stock()
    assert [content.buffer for content in contents.told(bundle, stock, shares=True)] == [0]
    stock.begin(stock_of(frozenset({(b"another", LARGE)})))
    assert [content.buffer for content in contents.told(bundle, stock, shares=True)] == [0, 1]
    told = replace(bundle, parts=tuple(replace(part, digest=b"known") for part in bundle.parts))
    assert len(contents.told(told, Stock(), shares=True)) == 2
