"""Every cell of the table of a run's states."""

from __future__ import annotations

import itertools

import pytest

from remote_runtime.wire.failures import Failed
from remote_runtime.worker.runstate import RunState, Step, advance

TABLE = """
               start         interrupt     kill          end
queued         running       ended         ended         ended
running        -             interrupting  killing       ended
interrupting   -             interrupting  killing       ended
killing        -             killing       killing       ended
ended          -             ended         ended         -
"""

STEPS, *ROWS = [line.split() for line in TABLE.strip().splitlines()]
CELLS = [(row[0], step, after) for row in ROWS for step, after in zip(STEPS, row[1:])]


@pytest.mark.parametrize(("state", "step", "after"), CELLS)
def test_each_cell(state: str, step: str, after: str) -> None:
    if after == "-":
        with pytest.raises(Failed, match=f"a run that is {state} cannot {step}"):
            advance(RunState(state), Step(step))
    else:
        assert advance(RunState(state), Step(step)) is RunState(after)


def test_the_table_here_has_every_cell() -> None:
    assert {(s, t) for s, t, _ in CELLS} == {(s.value, t.value) for s, t in itertools.product(RunState, Step)}


def test_nothing_leads_out_of_the_end() -> None:
    assert all(after in ("-", "ended") for state, _, after in CELLS if state == "ended")
