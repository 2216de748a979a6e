"""Shares of a device: who fits beside whom, who has to go, and who is not overtaken."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote_runtime.engines.base import CPU, Device
from remote_runtime.pool.placement import Busy, Chosen, Floor, Unavailable, arrange, decide
from remote_runtime.pool.shares import Hold, fits, left_bytes
from remote_runtime.wire.targets import format_target, parse_target

GB, GIB = 10**9, 1 << 30
A0 = Device("GPU-a0", "NVIDIA A100-SXM4-40GB", 40 * GIB)
A1 = replace(A0, id="GPU-a1", index=1)
PROCESSOR = Device(CPU, CPU, 16 * GIB)


def hold(name: str, gb: int | None, idle_s: float | None = None) -> Hold:
    return Hold(f"s-{name}", f"session {name}", idle_s, None if gb is None else gb * GB)


@pytest.mark.parametrize(
    ("text", "share"), [("A100/20GB", 20 * GB), ("A100:2/1.5GiB", int(1.5 * GIB)), (">=24GB/8GB", 8 * GB), ("any", None)]
)
def test_a_share_is_read_and_written(text: str, share: int | None) -> None:
    (want,) = parse_target(text)
    assert want.share_bytes == share
    assert parse_target(format_target([want])) == (want,)


@pytest.mark.parametrize("text", ["A100/", "A100/0GB", "A100/20", "A100/-3GB", "cpu/3GB", "/20GB", "A100/20GB:2"])
def test_what_is_no_share_is_told_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="\nhint: write"):
        parse_target(text)


FITS = [
    ([], 40, True), ([], None, True),
    ([hold("a", 20)], 20, True), ([hold("a", 20)], 23, False), ([hold("a", 20)], None, False),
    ([hold("a", None)], 1, False), ([hold("a", 10), hold("b", 10)], 20, True),
]  # fmt: skip


@pytest.mark.parametrize(("holds", "gb", "answer"), FITS)
def test_who_fits_beside_whom(holds: list[Hold], gb: int | None, answer: bool) -> None:
    assert fits(A0, holds, None if gb is None else gb * GB) is answer


def test_memory_that_a_stranger_has_taken_is_not_promised() -> None:
    beside = replace(A0, state="busy", holder="pid 4711 (python)", free_bytes=12 * GB)
    assert fits(beside, [], 12 * GB) and not fits(beside, [], 13 * GB) and not fits(beside, [], None)


@pytest.mark.parametrize("unknown", [replace(A0, memory_bytes=None), replace(A0, state="failed")])
def test_of_a_device_that_cannot_be_read_nothing_is_promised(unknown: Device) -> None:
    assert left_bytes(unknown, []) == 0 and not fits(unknown, [], 1)


@given(st.lists(st.integers(1, 30), max_size=12), st.integers(0, 45))
def test_never_is_more_promised_than_there_is(shares: list[int], free_gb: int) -> None:
    device, taken = replace(A0, free_bytes=free_gb * GB), [hold("first", 0)]
    for number, gb in enumerate(shares):
        if fits(device, taken, gb * GB):
            taken.append(hold(str(number), gb))
    assert sum(h.share_bytes or 0 for h in taken) <= 40 * GIB
    assert all((h.share_bytes or 0) <= free_gb * GB for h in taken)


def ask(target: str, holds: dict[str, tuple[Hold, ...]]) -> object:
    return decide(parse_target(target), Floor((A0, A1, PROCESSOR), holds))


def test_a_device_that_is_shared_already_is_filled_before_another_is_begun() -> None:
    decision = ask("A100/10GB", {A1.id: (hold("a", 10),)})
    assert decision == Chosen((A1,), 10 * GB)
    assert ask("A100", {A1.id: (hold("a", 10),)}) == Chosen((A0,))


def test_a_share_that_no_device_has_is_never_waited_for() -> None:
    assert isinstance(ask("A100/60GB", {}), Unavailable)


def test_what_is_left_is_told() -> None:
    holds = {A0.id: (hold("a", 30),), A1.id: (hold("b", None),)}
    decision = ask("A100/20GB", holds)
    assert isinstance(decision, Busy)
    assert decision.reason == "A100-40GB (12.9 GB left) and A100-40GB is held by session a, session b"


@pytest.mark.parametrize(
    ("target", "victims"),
    [("A100/20GB", ("s-old",)), ("A100/35GB", ("s-old", "s-young")), ("A100", ("s-old", "s-young")), ("A100:2", ())],
)
def test_no_more_idle_sessions_go_than_have_to(target: str, victims: tuple[str, ...]) -> None:
    holds = {A0.id: (hold("young", 15, 5.0), hold("old", 20, 50.0)), A1.id: (hold("busy", None),)}
    decision = ask(target, holds)
    assert isinstance(decision, Busy)
    assert sorted(decision.victims) == sorted(victims)


def test_who_waits_for_a_whole_device_is_not_overtaken_by_shares() -> None:
    floor = Floor((A0, PROCESSOR), {A0.id: (hold("a", 10),)})
    first, second = arrange([parse_target("A100"), parse_target("A100/10GB")], floor)
    assert isinstance(first, Busy) and isinstance(second, Busy)
    assert second.holders == ("session a", "somebody who waits longer")
