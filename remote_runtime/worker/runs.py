"""All runs of a session that are still remembered, oldest first.

    run_id --> Run, or "forgotten", or unknown

A run that is forgotten leaves a remnant: its output is gone, but what comes late still reaches those who followed it.
"""

from __future__ import annotations

from collections.abc import Iterator

from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from remote_runtime.worker.ledger import Ledger
from remote_runtime.worker.run import Run
from remote_runtime.worker.runlog import Bounds, Forgotten, RunLog, surplus
from remote_runtime.worker.runstate import RunState

REMNANTS_COUNT = 1000
"""Remnants that are kept, the latest in use of them."""


class Runs:
    """The runs of one session.

    Args:
        bounds: How much of their output is kept.
        ledger: Knows what shared memory their results lie in.
    """

    def __init__(self, bounds: Bounds, ledger: Ledger) -> None:
        self._bounds, self._ledger = bounds, ledger
        self._runs: dict[str, Run] = {}
        self._forgotten = Forgotten()
        self._past_s = 0.0
        self._remnants: dict[str, Run] = {}

    def __iter__(self) -> Iterator[Run]:
        return iter(list(self._runs.values()))

    def find(self, run_id: str) -> Run | None:
        """Return a run, None where it is not known.

        Raises:
            Failed: code "not-found", for a run whose log is no longer kept.
        """
        if run_id in self._forgotten:
            raise Failed("not-found", f"the output of run {run_id} is no longer kept", "run the cell again")
        return self._runs.get(run_id)

    def get(self, run_id: str) -> Run:
        """Return a run.

        Raises:
            Failed: code "not-found", for a run that is not known or no longer kept.
        """
        run = self.find(run_id)
        if run is None:
            raise Failed("not-found", f"this session has no run {run_id!r}", "`%gpu ps` lists its runs")
        return run

    def add(self, message: pb.ToWorker, at: float) -> Run:
        """Remember a new run.

        Args:
            message: The request.
            at: Seconds since the epoch.
        """
        run = Run(message, RunLog(message.run.run_id, self._bounds), at)
        self._runs[run.run_id] = run
        return run

    def known(self, run_id: str) -> Run | None:
        """Return a run or its remnant, None where there is neither."""
        found = self._runs.get(run_id) or self._remnants.pop(run_id, None)
        if found is not None and run_id not in self._runs:
            self._remnants[run_id] = found  # as the latest in use
        return found

    def followed(self, run_id: str, after_seq: int) -> Run:
        """Return a run that somebody wants to follow; its remnant does for those who have seen its end.

        Raises:
            Failed: code "not-found", for a run that is not known or no longer kept.
        """
        remnant = self._remnants.get(run_id)
        return remnant if remnant is not None and after_seq >= remnant.log.end_seq else self.get(run_id)

    def unask(self, run: Run) -> None:
        """Take a run as never asked for: it may come again. Whoever else follows it is told."""
        for timer in run.timers:
            timer.cancel()
        for follower in list(run.followers):
            follower.unfollow(run)
            if follower is not run.owner:
                follower.refuse(0, Failed("not-found", f"run {run.run_id} never arrived whole", "run the cell again"))
        if self._runs.pop(run.run_id, None) is not None:
            self._past_s += run.active_s

    @property
    def alive(self) -> list[Run]:
        """Runs that have not ended."""
        return [run for run in self._runs.values() if run.state is not RunState.ENDED]

    @property
    def busy_s(self) -> float:
        """How long runs were active, those that are forgotten too; one runs at a time."""
        return self._past_s + sum(run.active_s for run in self._runs.values())

    @property
    def left_s(self) -> float | None:
        """How long until the limit of the only run that is alive; None where it has none, or others wait."""
        alive = self.alive
        limited = len(alive) == 1 and alive[0].timeout_s > 0
        return max(0.0, alive[0].timeout_s - alive[0].active_s) if limited else None

    def shrink(self) -> None:
        """Forget what is over the bound, as `runlog.surplus` chooses."""
        chosen = surplus([run.log for run in self._runs.values()], self._bounds.keep_bytes)
        for log in chosen:
            self._forget(log.run_id)

    def expire(self) -> None:
        """Forget what ended longer ago than it was to be kept."""
        for run in self:
            if run.since_end_s is not None and run.since_end_s > run.keep_s:
                self._forget(run.run_id)

    def _forget(self, run_id: str) -> None:
        run = self._runs[run_id]
        if run.followers:  # it is on its way to someone, who would wait for its end for ever
            return
        del self._runs[run_id]
        self._past_s += run.active_s
        self._forgotten.add(run_id)
        run.log.shed()
        self._ledger.release(run)
        self._remnants[run_id] = run
        if len(self._remnants) > REMNANTS_COUNT:
            del self._remnants[next(iter(self._remnants))]
