"""From a request to its answer or its one End: the agenda, the user process, the runs' logs.

    Run, Ask --agenda--> user process --events--> the run's log --> followers
                                      --answer--> the client that asked
                                      dies    --> the one End

A run ends in one place, `_close`, whoever made its End. Nothing here waits: everything is called by the loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import replace

from remote_runtime.wire import frames
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import EVICTED, Failed
from remote_runtime.worker import answering, endings
from remote_runtime.worker.agenda import Agenda, Ask, Job
from remote_runtime.worker.child import Child
from remote_runtime.worker.endings import Death, Stop
from remote_runtime.worker.handing import hand_on
from remote_runtime.worker.ledger import Ledger
from remote_runtime.worker.nursery import Nursery
from remote_runtime.worker.owner import Owner
from remote_runtime.worker.run import Ending, Run
from remote_runtime.worker.runs import Runs
from remote_runtime.worker.runstate import RunState, Step
from remote_runtime.worker.succession import Succession
from remote_runtime.worker.tuning import Tuning
from remote_runtime.worker.upload import Upload

log = logging.getLogger(__name__)


class Runner:
    """Conducts the user process.

    Args:
        nursery: Where user processes come from.
        runs: The session's runs.
        tuning: Times and bounds.
        owner: Hears what becomes of the user process.
        ledger: The session's account of shared memory.
    """

    def __init__(self, nursery: Nursery, runs: Runs, tuning: Tuning, owner: Owner, ledger: Ledger) -> None:
        self._runs, self._tuning, self._owner, self.ledger = runs, tuning, owner, ledger
        self._loop = asyncio.get_running_loop()
        self._agenda = Agenda()
        self._latest: Run | None = None
        self._ending: Ending | None = None
        self._bundle_id = 0
        self.users = Succession(nursery, self, self._strand)
        self.names: tuple[str, ...] = ()

    # ---- requests -----------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether anything is active or queued."""
        return self._agenda.busy

    def submit(self, job: Job) -> None:
        """Queue a run or a request.

        Raises:
            Failed: code "session-lost" when there is no user process to be had, "busy" for a request while a
                run is active or queued.
        """
        if self.users.is_stranded:
            raise Failed(
                "session-lost",
                "the user process is gone and the worker cannot start another: its zygote has ended",
                "stop the session with `%gpu stop` and run the cell again",
            )
        if self.users.closing:
            raise Failed("session-lost", "the session is being stopped", "run the cell again for a new one")
        self._agenda.add(job)
        self._next()

    def interrupt(self, run: Run, kill: bool, why: str) -> None:
        """Stop a run: at once before it has begun, else by SIGINT, and then, or with `kill`, by SIGKILL.

        Args:
            run: Need not be running any more.
            kill: Whether to lose the user process rather than wait.
            why: "user", "cancelled" or "timeout".
        """
        if run.state is RunState.ENDED:
            return
        if run.state is RunState.QUEUED or not run.arrived:
            self._withdraw(run, Stop(why, run.timeout_s))
            return
        before = run.state
        run.step(Step.KILL if kill else Step.INTERRUPT)
        if run.state is not before:
            self._stop(run, why)

    def interrupt_ask(self, kill: bool) -> None:
        """Stop the request that is no run, if one is being answered."""
        child = self.users.child
        if self._agenda.ask is not None and child is not None:
            if kill:
                child.kill("user")
            else:
                child.interrupt()

    def withdraw_upload(self, upload: Upload) -> None:
        """Take back what an upload belongs to, which will never be whole: as if it had not been asked."""
        upload.give_up()
        job = self._agenda.of_upload(upload)
        if job is None:
            return
        self._agenda.remove(job)
        if isinstance(job, Run):
            self._runs.unask(job)
        self._next()

    def record(self, event: pb.Event) -> None:
        """Add an event of the keeper's own to the active run, if there is one."""
        run = self._agenda.run
        if run is not None:
            event.run_id = run.run_id
            self._record(run, event)

    def tick(self) -> None:
        """Look after the user process."""
        self.users.tick()
        self._next()

    # ---- to the user process ------------------------------------------------------------------------------

    def _next(self) -> None:
        child = self.users.child
        while child is not None and (job := self._agenda.next()) is not None:
            if isinstance(job, Run):
                self._begin(job)
            self._send(child, job)
            if isinstance(job, Run) and child.footprint is not None:
                child.footprint.begin()  # after sending: the user process works meanwhile

    def _begin(self, run: Run) -> None:
        run.step(Step.START)
        run.started_at = time.time()
        self._latest = run
        if run.timeout_s > 0:
            run.timers.append(self._loop.call_later(run.timeout_s, self.interrupt, run, False, "timeout"))

    def _send(self, child: Child, job: Job) -> None:
        message, upload, header = job.message, job.upload, frames.header_of(job.message)
        asker = job.owner if isinstance(job, Run) else job.client
        message.share_bytes = asker.share_bytes if asker else 0
        if upload is not None and header is not None:
            self._bundle_id += 1
            header.bundle_id = self._bundle_id  # two clients may use one number
            hand_on(self.ledger, child, message, upload)
        else:
            child.write(frames.control(message))
        if isinstance(job, Run):
            job.message = pb.ToWorker()  # its source and values are not kept

    def _withdraw(self, run: Run, stop: Stop) -> None:
        self._agenda.remove(run)
        if run.upload is not None:
            run.upload.give_up()
        self._close(run, endings.withdrawn(stop))

    def _stop(self, run: Run, why: str) -> None:
        now = self._loop.time()
        if run.stop is None:
            run.stop, run.stopped_at = Stop(why, run.timeout_s), now
        child = self.users.child
        if child is None:
            return
        if run.state is RunState.KILLING:
            run.stop = replace(run.stop, grace_s=round(now - run.stopped_at, 1))
            child.kill(run.stop.why)
            run.timers.append(self._loop.call_later(self._tuning.kill_wait_s, child.abandon))
        else:
            child.interrupt()  # before the run has begun it may not be heard: `_hear_event` sends it again then
            run.timers.append(self._loop.call_later(self._tuning.grace_s, self.interrupt, run, True, why))

    # ---- from the user process, see `child.Listener` ------------------------------------------------------

    def ready(self, child: Child) -> None:
        """See `child.Listener`."""
        self.users.ready()
        self._owner.warm()

    def said(self, child: Child, message: pb.FromWorker) -> None:
        """See `child.Listener`."""
        if message.HasField("event"):
            self._hear_event(child, message)
        elif message.HasField("stock"):
            self._owner.stocked(message)
        else:
            self._hear_answer(child, message)

    def piece(self, child: Child, frame: bytes) -> None:
        """See `child.Listener`."""
        if self._ending is not None:
            self._ending.pieces.append(frame)
            self._ending.rest_bytes -= frames.piece(frame).content.nbytes
            if self._ending.rest_bytes <= 0:
                self._end(child, self._ending)
        elif (ask := self._agenda.ask) is not None:
            answering.go_on(ask, frame)
            self._check_answered(child, ask)

    def segment(self, child: Child, segment: pb.Segment, fd: int | None) -> None:
        """See `child.Listener`."""
        self.ledger.segment(child, segment, fd)

    def freed(self, child: Child, freed: pb.Freed) -> None:
        """See `child.Listener`."""
        self.ledger.freed(child, freed)

    def printed(self, child: Child, text: str, stderr: bool) -> None:
        """See `child.Listener`."""
        run = self._agenda.run or self._latest
        if run is not None:
            self._record(run, pb.Event(run_id=run.run_id, stream=pb.Stream(text=text, stderr=stderr)))

    def died(self, child: Child, death: Death) -> None:
        """See `child.Listener`."""
        log.warning("the user process %s", death.words)
        lost, self.names = self.names, ()
        active, self._agenda.active, self._ending = self._agenda.active, None, None
        self.ledger.release(active)
        self.ledger.left(child)
        self.users.died(by_itself=death.why not in endings.STATUS)
        if isinstance(active, Run):
            self._bury(active, death, lost)
        elif active is not None:
            answering.fail(active, death)
        if not self.users.closing:
            self._owner.replaced(death, active is None)
        self._next()

    def _hear_event(self, child: Child, message: pb.FromWorker) -> None:
        event = message.event
        body = event.WhichOneof("body")
        if body == "end":
            self._hear_end(child, message)
            return
        run = self._runs.known(event.run_id)
        if run is None:
            log.warning("an event of run %r is dropped: it is not known, or forgotten", event.run_id)
            return
        self._record(run, event)
        if body == "started" and run is self._agenda.run:
            run.begun = True
            if run.state is RunState.INTERRUPTING:
                child.interrupt()

    def _hear_end(self, child: Child, message: pb.FromWorker) -> None:
        run = self._agenda.run
        if run is None or message.event.run_id != run.run_id or self._ending is not None:
            log.warning("an end of run %r is dropped: it has ended, or never began", message.event.run_id)
            self.ledger.refuse(child, message.event.end.bundle)
            return
        self.ledger.lend(child, message.event.end.bundle, run)
        self._ending = Ending(message.event, frames.awaits_data(message))
        if not self._ending.rest_bytes:
            self._end(child, self._ending)

    def _hear_answer(self, child: Child, message: pb.FromWorker) -> None:
        run, ask = self._agenda.run, self._agenda.ask
        if run is not None and message.HasField("failure") and message.request_id == run.request_id:
            self._refused(run, message)
        elif ask is not None and message.request_id == ask.message.request_id:
            answering.begin(self.ledger, child, ask, message)
            self._check_answered(child, ask)
        elif (header := frames.header_of(message)) is not None:
            self.ledger.refuse(child, header)

    def _refused(self, run: Run, message: pb.FromWorker) -> None:
        """End a run that cannot begin; one that only lacks what was taken to be here is sent again by who asked."""
        self._agenda.active = None
        if message.failure.code != EVICTED or run.stop is not None or run.owner is None:
            stop = run.stop
            return self._close(run, endings.withdrawn(stop) if stop else endings.refused(message.failure))
        self._runs.unask(run)
        run.owner.reply(message)
        return self._next()

    def _check_answered(self, child: Child, ask: Ask) -> None:
        if answering.settle(self.ledger, child, ask):
            self._agenda.active = None
            self._next()

    # ---- ends ---------------------------------------------------------------------------------------------

    def _record(self, run: Run, event: pb.Event, pieces: Sequence[bytes] = ()) -> None:
        if not run.log.append(event, time.time(), pieces):
            return
        if event.HasField("started"):
            run.timers.append(self._loop.call_later(self._tuning.started_s, run.wake_followers))
        else:
            run.wake_followers()

    def _end(self, child: Child, ending: Ending) -> None:
        """End a run as its user process says."""
        run, end = self._agenda.run, ending.event.end
        if run is None:
            return
        child.drain()
        if child.footprint is not None and (peak_bytes := child.footprint.peak_bytes()) is not None:
            end.peak_memory_bytes = peak_bytes
        endings.settle(end, run.stop)
        self._owner.ended(end)
        self.names = tuple(end.alive)
        self._agenda.active = self._ending = None
        self._close(run, end, ending.pieces)

    def _bury(self, run: Run, death: Death, lost: Sequence[str]) -> None:
        forced = run.state is RunState.KILLING and death.why in endings.STATUS
        self._close(run, endings.killed(run.stop, death, lost) if run.stop and forced else endings.died(death, lost))

    def _close(self, run: Run, end: pb.End, pieces: Sequence[bytes] = ()) -> None:
        """The one place where a run ends."""
        run.step(Step.END)
        for timer in run.timers:
            timer.cancel()
        run.timers.clear()
        run.message, run.owner = pb.ToWorker(), None
        run.status = end.status
        self._record(run, pb.Event(run_id=run.run_id, end=end), pieces)
        if end.bundle.blocks:
            self._runs.shrink()  # at once: what is let go here is where the next results go
        self._next()

    def _strand(self) -> None:
        for job in self._agenda.clear():
            if job.upload is not None:
                job.upload.give_up()
            if isinstance(job, Run):
                self._close(job, endings.died(Death(), ()))
            elif job.answered:
                answering.fail(job, Death())
        self._owner.stranded()
