"""The ends that the keeper writes itself, in words. Pure.

how the user process died, why it was killed, what was lost -> End
the user process's own End, why it was interrupted          -> End
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from remote_runtime.wire import messages_pb2 as pb

NAMES_TOLD = 6
"""So many lost names are listed, the rest is counted."""

STATUS: Mapping[str, str] = {"user": "interrupted", "cancelled": "cancelled", "timeout": "timeout"}
"""Why a run was interrupted -> the status of its end. Other reasons count as "user"."""

MEMORY = "memory"
"""Reason of a kill by the memory watchdog, beside those in `STATUS`."""


CHANNEL = "channel"
"""Reason of a kill after the user process has closed, or filled with rubbish, its socket to the keeper."""


@dataclass(frozen=True)
class Death:
    """How a user process ended.

    Args:
        code: Exit status, None where it was killed or nobody saw it.
        signal: Signal number, None where it ended by itself or nobody saw it.
        why: Why the keeper killed it: a key of `STATUS`, `MEMORY`, `CHANNEL`, or "" when it did not.
        peak_bytes: Most memory it held, None where that could not be read.
        limit_bytes: The memory limit, 0 for none.
    """

    code: int | None = None
    signal: int | None = None
    why: str = ""
    peak_bytes: int | None = None
    limit_bytes: int = 0

    @property
    def words(self) -> str:
        """Tell the death in a few words."""
        if self.why == MEMORY:
            return f"passed the memory limit of {_gib(self.limit_bytes)} (peak {_gib(self.peak_bytes)})"
        if self.why == CHANNEL and self.code is None:
            return "lost its connection to the keeper and was killed"
        if self.signal is not None:
            return f"was killed by {_signal_name(self.signal)}"
        if self.code is not None:
            return f"exited with code {self.code} (os._exit)"
        return "ended, nobody saw how"


@dataclass(frozen=True)
class Stop:
    """Why a run was stopped before its own end.

    Args:
        why: A key of `STATUS`.
        timeout_s: The run's timeout.
        grace_s: How long it was given after the interrupt; 0 when it was killed at once.
    """

    why: str
    timeout_s: float = 0.0
    grace_s: float = 0.0

    @property
    def status(self) -> str:
        """Status of the end."""
        return STATUS.get(self.why, "interrupted")

    @property
    def words(self) -> str:
        """Tell the reason as a past participle."""
        if self.why == "timeout":
            return f"passed its timeout of {_seconds(self.timeout_s)}"
        return "was cancelled" if self.why == "cancelled" else "was interrupted"


def died(death: Death, lost: Sequence[str]) -> pb.End:
    """Return the end of a run whose user process died.

    Args:
        death: How.
        lost: Names that the session held.
    """
    memory = death.why == MEMORY
    hint = _again(lost) + (", with less data at a time" if memory else "")
    problem = pb.Problem(
        code="memory" if memory else "worker-died",
        type_name="WorkerDied",
        message=f"the user process {death.words}{'' if memory else _peak(death)}; {_gone(lost)}",
        hint=hint,
    )
    return pb.End(status="died", problem=problem, peak_memory_bytes=death.peak_bytes, memory_lost=True)


def killed(stop: Stop, death: Death, lost: Sequence[str]) -> pb.End:
    """Return the end of a run that was killed because it was to stop.

    Args:
        stop: Why it was to stop.
        death: How its user process ended.
        lost: Names that the session held.
    """
    how = f"did not stop within {_seconds(stop.grace_s)}, so its" if stop.grace_s else "was stopped at once: its"
    text = f"the run {stop.words} and {how} user process was killed; {_gone(lost)}"
    problem = pb.Problem(code=stop.status, type_name="KeyboardInterrupt", message=text, hint=_again(lost))
    return pb.End(status=stop.status, problem=problem, peak_memory_bytes=death.peak_bytes, memory_lost=True)


def withdrawn(stop: Stop) -> pb.End:
    """Return the end of a run that was stopped before it began."""
    text = f"the run {stop.words} before it began; nothing of it was executed"
    problem = pb.Problem(code=stop.status, type_name="KeyboardInterrupt", message=text, hint="run the cell again")
    return pb.End(status=stop.status, problem=problem)


def refused(failure: pb.Failure) -> pb.End:
    """Return the end of a run that the user process could not even begin."""
    problem = pb.Problem(code=failure.code, message=failure.message, hint=failure.hint)
    return pb.End(status="error", problem=problem)


def settle(end: pb.End, stop: Stop | None) -> None:
    """Give the user process's own end the status of what interrupted it; an end for another reason stays.

    Args:
        end: Changed in place.
        stop: Why the run was interrupted, None when it was not.
    """
    if stop is None or end.status != "interrupted" or stop.status == "interrupted":
        return
    end.status = stop.status
    end.problem.code = stop.status
    end.problem.message = f"the run {stop.words} and was stopped; the session's names are still there"
    end.problem.hint = "give it more time with `--timeout`" if stop.why == "timeout" else "run the cell again"
    end.problem.has_exception = False


def _gone(lost: Sequence[str]) -> str:
    if not lost:
        return "the session held no names"
    more = f" and {len(lost) - NAMES_TOLD} more" if len(lost) > NAMES_TOLD else ""
    return f"the session's names are gone: {', '.join(sorted(lost)[:NAMES_TOLD])}{more}"


def _again(lost: Sequence[str]) -> str:
    return "run the cells again that make them" if lost else "run the cell again"


def _peak(death: Death) -> str:
    return f" (peak memory {_gib(death.peak_bytes)})" if death.peak_bytes is not None else ""


def _gib(size_bytes: int | None) -> str:
    if size_bytes is None:
        return "-"
    return f"{size_bytes / 2**30:.1f} GiB" if size_bytes >= 2**30 else f"{size_bytes / 2**20:.0f} MiB"


def _seconds(seconds: float) -> str:
    return f"{seconds:g} s"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
