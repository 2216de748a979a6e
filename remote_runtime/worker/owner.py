"""What the runner tells of the user process: the session's side of it.

Runner --warm, replaced, stranded--> Owner
"""

from __future__ import annotations

from typing import Protocol

from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.worker.endings import Death


class Owner(Protocol):
    """Who hears what becomes of the user process."""

    def warm(self) -> None:
        """Called each time a user process is ready."""

    def replaced(self, death: Death, idle: bool) -> None:
        """Called after a user process died; `idle` when nobody waited for it."""

    def stocked(self, told: pb.FromWorker) -> None:
        """Called when other contents are held by the user process."""

    def ended(self, end: pb.End) -> None:
        """Called with the end of a run that the user process made."""

    def stranded(self) -> None:
        """Called when there is no user process and there will be none."""
