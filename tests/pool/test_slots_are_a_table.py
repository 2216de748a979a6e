from __future__ import annotations

import itertools

import pytest

from remote_runtime.engines.base import WorkerSpec
from remote_runtime.pool.slots import NEXT, IllegalStep, Slot, State, Step

LEGAL = """
cold      launch     starting
cold      fail       poisoned
cold      exit       gone
starting  ready      warm
starting  fail       poisoned
starting  stop       stopping
starting  exit       gone
warm      claim      leased
warm      fail       poisoned
warm      stop       stopping
warm      pause      paused
warm      exit       gone
paused    claim      leased
paused    fail       poisoned
paused    stop       stopping
paused    exit       gone
leased    give_back  warm
leased    fail       poisoned
leased    stop       stopping
leased    exit       gone
poisoned  stop       stopping
poisoned  exit       gone
stopping  stop       stopping
stopping  exit       gone
"""
TABLE = {tuple(line.split()[:2]): line.split()[2] for line in LEGAL.strip().splitlines()}
CELLS = list(itertools.product(State, Step))


@pytest.mark.parametrize(("state", "step"), CELLS, ids=lambda x: x.value)
def test_each_cell_of_the_table(state: State, step: Step) -> None:
    slot = Slot(WorkerSpec("w", "secret"), state)
    expected = TABLE.get((state.value, step.name.lower()))
    if expected is None:
        with pytest.raises(IllegalStep, match=f"{state.value} and cannot {step.value}"):
            slot.step(step)
        assert slot.state is state
    else:
        slot.step(step)
        assert slot.state.value == expected


def test_nothing_leaves_gone_and_nothing_used_gets_warm_again() -> None:
    assert not [step for state, step in NEXT if state is State.GONE]
    assert {state for (state, step), to in NEXT.items() if to is State.WARM} == {State.STARTING, State.LEASED}
