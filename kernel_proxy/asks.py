"""What a runtime is asked beside its sessions: what a worker would be made with, secrets, volumes.

    one request -> the gateway -> one reply; a gateway that is away is reached anew, and asked once more
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TypeVar

from kernel_proxy.channel import Door
from kernel_proxy.wishes import Wishes
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import versions

T = TypeVar("T")

CONSIDER_S = 900.0
"""How long a runtime may take to find an interpreter, and to fetch what it lacks."""


class Asks(ABC):
    """A runtime's part that answers these."""

    @abstractmethod
    def _again(self, ask: Callable[[Door], T]) -> T:
        """Ask the gateway; where it is away, reach it anew and ask once more."""

    def consider(self, target: str, wishes: Wishes) -> pb.ConsiderReply:
        """Ask what a session would be made with; none is opened.

        Raises:
            WarmcellError: The runtime cannot make such a worker, or lacks what the wishes name.
        """
        request = pb.OpenRequest(versions=versions.here(), target=target)
        wishes.fill(request)
        return self._again(lambda door: door.call("Consider", request, CONSIDER_S))

    def lend(self, session_id: str, run_id: str, secrets: Iterable[str]) -> None:
        """Have the variables of secrets ready for a run that is about to be sent.

        Raises:
            NotFound: There is no such secret.
        """
        request = pb.LendRequest(session_id=session_id, run_id=run_id, secrets=secrets)
        self._again(lambda door: door.call("Lend", request))

    def secrets(self, request: pb.SecretsRequest) -> list[pb.SecretInfo]:
        """Keep, forget or list secrets; values go there and never come back.

        Raises:
            WarmcellError: It cannot be done.
        """
        return list(self._again(lambda door: door.call("Secrets", request)).secrets)

    def volumes(self, request: pb.VolumesRequest) -> list[pb.VolumeInfo]:
        """Make, remove, list or write out volumes.

        Raises:
            WarmcellError: It cannot be done.
        """
        return list(self._again(lambda door: door.call("Volumes", request)).volumes)
