"""The states of a run, as a table: (state, step) -> state.

    queued --start--> running --interrupt--> interrupting --kill--> killing --end--> ended

A step that has no row is a defect of the keeper, not of its client: what a client may send at any time
(interrupt, kill) has a row in every state.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from remote_runtime.wire.failures import Failed


class RunState(str, Enum):
    """Where a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    INTERRUPTING = "interrupting"
    KILLING = "killing"
    ENDED = "ended"


class Step(str, Enum):
    """What happens to a run."""

    START = "start"
    INTERRUPT = "interrupt"
    KILL = "kill"
    END = "end"


_S, _T = RunState, Step

TRANSITIONS: Mapping[tuple[RunState, Step], RunState] = {
    (_S.QUEUED, _T.START): _S.RUNNING,
    (_S.QUEUED, _T.INTERRUPT): _S.ENDED,
    (_S.QUEUED, _T.KILL): _S.ENDED,
    (_S.QUEUED, _T.END): _S.ENDED,
    (_S.RUNNING, _T.INTERRUPT): _S.INTERRUPTING,
    (_S.RUNNING, _T.KILL): _S.KILLING,
    (_S.RUNNING, _T.END): _S.ENDED,
    (_S.INTERRUPTING, _T.INTERRUPT): _S.INTERRUPTING,
    (_S.INTERRUPTING, _T.KILL): _S.KILLING,
    (_S.INTERRUPTING, _T.END): _S.ENDED,
    (_S.KILLING, _T.INTERRUPT): _S.KILLING,
    (_S.KILLING, _T.KILL): _S.KILLING,
    (_S.KILLING, _T.END): _S.ENDED,
    (_S.ENDED, _T.INTERRUPT): _S.ENDED,
    (_S.ENDED, _T.KILL): _S.ENDED,
}
"""Every legal step. A second start and a second end are missing on purpose."""


def advance(state: RunState, step: Step) -> RunState:
    """Return the state after a step.

    Raises:
        Failed: code "internal", for a step that is not legal in this state.
    """
    try:
        return TRANSITIONS[state, step]
    except KeyError:
        raise Failed("internal", f"a run that is {state.value} cannot {step.value}", "report this") from None
