"""What the user process is asked, one thing at a time: the queue and the active job. Pure.

Run, Ask --add--> queue --next--> active --done--> nothing
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from remote_runtime.worker.client import Client
from remote_runtime.worker.run import Run
from remote_runtime.worker.upload import Upload


@dataclass(eq=False)
class Ask:
    """A request that is no run.

    Args:
        client: Who asks.
        message: What; a Put's bundle is only announced.
        upload: The pieces of that bundle, None where none follow.
        rest_bytes: How much of the answer's bundle is still to come.
        kept: The answer's frames, where its client cannot take them as they come.
    """

    client: Client
    message: pb.ToWorker
    upload: Upload | None = None
    rest_bytes: int = 0
    kept: list[bytes] = field(default_factory=list)

    @property
    def answered(self) -> bool:
        """Whether somebody waits for an answer."""
        return self.message.WhichOneof("body") != "drop"

    @property
    def patient(self) -> bool:
        """Whether it may wait behind runs: its client does not wait for it, or nobody answers it."""
        return not self.answered or (self.message.HasField("sources") and not self.message.sources.ask)


Job = Run | Ask


class Agenda:
    """The queue of a session."""

    def __init__(self) -> None:
        self._queue: deque[Job] = deque()
        self.active: Job | None = None

    @property
    def run(self) -> Run | None:
        """The active job, where it is a run."""
        return self.active if isinstance(self.active, Run) else None

    @property
    def ask(self) -> Ask | None:
        """The active job, where it is no run."""
        return self.active if isinstance(self.active, Ask) else None

    @property
    def busy(self) -> bool:
        """Whether anything is active or queued."""
        return self.active is not None or bool(self._queue)

    def add(self, job: Job) -> None:
        """Queue a job.

        Raises:
            Failed: code "busy", for a request that wants an answer while a run is active or queued.
        """
        running = next((job for job in (self.active, *self._queue) if isinstance(job, Run)), None)
        if isinstance(job, Ask) and not job.patient and running is not None:
            raise Failed(
                "busy",
                f"the session is running another cell: {running.label or running.run_id}",
                "wait for it with `%gpu wait`, or interrupt it",
                {"run_id": running.run_id},
            )
        self._queue.append(job)

    def next(self) -> Job | None:
        """Take the next job, None while one is active; one that wants no answer never becomes active."""
        if self.active is not None or not self._queue:
            return None
        job = self._queue.popleft()
        if isinstance(job, Run) or job.answered:
            self.active = job
        return job

    def remove(self, job: Job) -> None:
        """Take a job off, active or queued."""
        if job is self.active:
            self.active = None
        else:
            self._queue.remove(job)

    def of_upload(self, upload: Upload) -> Job | None:
        """Return the job that an upload belongs to."""
        return next((job for job in (self.active, *self._queue) if job is not None and job.upload is upload), None)

    def clear(self) -> list[Job]:
        """Empty the queue and return what was in it."""
        waiting, self._queue = list(self._queue), deque()
        return waiting
