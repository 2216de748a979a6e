from __future__ import annotations

import pytest

from remote_runtime.engines.base import CPU, Device
from remote_runtime.engines.host import simulated
from remote_runtime.pool.placement import Busy, Chosen, Floor, Hold, Unavailable, arrange, decide, fits
from remote_runtime.wire.targets import parse_target

GIB = 1 << 30
A0 = Device("GPU-a0", "NVIDIA A100-SXM4-40GB", 40 * GIB)
A1 = Device("GPU-a1", "NVIDIA A100-SXM4-40GB", 40 * GIB, index=1)
H0 = Device("GPU-h0", "NVIDIA H200", 141 * GIB, index=2)
BUSY = Device("GPU-b", "NVIDIA L4", 24 * GIB, index=3, state="busy", holder="pid 4711 (python)")
BROKEN = Device("GPU-x", "NVIDIA T4", 16 * GIB, state="failed")
NAMELESS = Device("GPU-n", "NVIDIA T4", None)
SIM = simulated("A100:2")
PROCESSOR = Device(CPU, CPU, 16 * GIB)
REAL = (A0, A1, H0, BUSY, PROCESSOR)


def held(*devices: Device, idle_s: float | None = None) -> dict[str, tuple[Hold, ...]]:
    return {d.id: (Hold(f"s-{d.id}", f"session {d.id}", idle_s),) for d in devices}


def ask(target: str, floor: Floor) -> object:
    return decide(parse_target(target), floor)


CHOSEN = [
    ("any", REAL, (), ("GPU-a0",)),
    ("any", REAL, (A0, A1), ("GPU-h0",)),
    ("any", REAL, (A0, A1, H0), ("cpu",)),
    ("any", (*SIM, PROCESSOR), (), ("cpu",)),
    ("any:2", REAL, (), ("GPU-a0", "GPU-a1")),
    ("cpu", REAL, (), ("cpu",)),
    ("A100", REAL, (A0,), ("GPU-a1",)),
    ("A100:2", REAL, (), ("GPU-a0", "GPU-a1")),
    ("A100", (*SIM, PROCESSOR), (), ("sim-A100-0",)),
    ("A100", (*SIM, *REAL), (), ("sim-A100-0",)),
    ("H100,H200", REAL, (), ("GPU-h0",)),
    ("H200,A100", REAL, (H0,), ("GPU-a0",)),
    (">=100GB", REAL, (), ("GPU-h0",)),
    (">=24GB", (NAMELESS, A0, PROCESSOR), (), ("GPU-a0",)),
    ("A100,cpu", REAL, (A0, A1), ("cpu",)),
]


@pytest.mark.parametrize(("target", "devices", "taken", "ids"), CHOSEN)
def test_the_first_want_that_is_free_is_met(target: str, devices: tuple, taken: tuple, ids: tuple) -> None:
    decision = ask(target, Floor(devices, held(*taken)))
    assert isinstance(decision, Chosen)
    assert tuple(d.id for d in decision.devices) == ids


@pytest.mark.parametrize(
    ("target", "devices"),
    [
        ("B200", REAL),
        ("A100:3", REAL),
        ("A100:3", (A0, *SIM, PROCESSOR)),
        ("any:2", (PROCESSOR,)),
        ("T4", (BROKEN, PROCESSOR)),
        (">=24GB", (NAMELESS, PROCESSOR)),
        ("A10,A10G", REAL),
    ],
)
def test_what_is_not_there_is_unavailable_and_never_replaced(target: str, devices: tuple) -> None:
    assert isinstance(ask(target, Floor(devices)), Unavailable)


def test_the_unavailable_text_lists_what_there_is() -> None:
    failure = ask("H100", Floor((*SIM, A0, PROCESSOR))).failure
    assert failure.code == "target-unavailable"
    assert str(failure) == (
        "this runtime has no H100; it has 2 x A100 (simulated, price -), 1 x A100-40GB (price -), cpu (price -)\n"
        "hint: `%%gpu cpu` runs the cell without a GPU, and `warmcell up --simulate H100` declares one for trial"
    )


def test_busy_names_every_holder_and_who_could_be_released() -> None:
    holds = {**held(A0, idle_s=5.0), **held(A1, idle_s=90.0)}
    decision = ask("A100", Floor(REAL, holds))
    assert isinstance(decision, Busy)
    assert decision.reason == "A100-40GB is held by session GPU-a0, session GPU-a1"
    assert decision.victims == ("s-GPU-a1",)


def test_a_foreign_process_is_named_and_never_a_victim() -> None:
    decision = ask("L4", Floor(REAL))
    assert isinstance(decision, Busy)
    assert (decision.reason, decision.victims) == ("L4 is held by pid 4711 (python)", ())


def test_running_sessions_are_no_victims_and_half_a_release_helps_nobody() -> None:
    assert ask("A100", Floor(REAL, held(A0, A1))).victims == ()
    mixed = {**held(A0), **held(A1, idle_s=9.0)}
    assert ask("A100:2", Floor(REAL, mixed)).victims == ()
    assert ask("A100:2", Floor(REAL, held(A1, idle_s=9.0))).victims == ("s-GPU-a1",)


def test_a_full_runtime_waits_for_any_idle_session() -> None:
    sessions = {"s-1": Hold("s-1", "session one", None), "s-2": Hold("s-2", "session two", 4.0)}
    decision = ask("cpu", Floor(REAL, {}, "all 2 workers are in use", sessions))
    assert decision == Busy("all 2 workers are in use", ("session one", "session two"), (), ("s-2",))


def test_what_an_earlier_one_waits_for_is_not_given_to_a_later_one() -> None:
    wants = [parse_target(t) for t in ("A100:2", "A100", "H200", "cpu")]
    first, second, third, fourth = arrange(wants, Floor(REAL, held(A0)))
    assert isinstance(first, Busy)
    assert isinstance(second, Busy)
    assert "somebody who waits longer" in second.reason
    assert isinstance(third, Chosen)
    assert isinstance(fourth, Chosen)


def test_two_who_wait_count_on_two_different_sessions() -> None:
    holds = held(A0, A1, idle_s=5.0)
    decisions = arrange([parse_target("A100")] * 3, Floor(REAL, holds))
    assert [d.victims for d in decisions] == [("s-GPU-a0",), ("s-GPU-a1",), ()]


@pytest.mark.parametrize(
    ("target", "devices", "does"),
    [
        ("any", (A0,), True),
        ("any", (PROCESSOR,), True),
        ("A100", (A0,), True),
        ("A100:2", (A0,), False),
        ("A100", (A0, A1), False),
        ("cpu", (A0,), False),
        ("cpu", (PROCESSOR,), True),
        ("H200,A100", (A0,), True),
        (">=100GB", (A0,), False),
    ],
)
def test_whether_a_session_fits_another_request(target: str, devices: tuple, does: bool) -> None:
    assert fits(parse_target(target), devices) is does
