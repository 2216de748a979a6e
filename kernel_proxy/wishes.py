"""What a session is opened with, beside its target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.specs import OWN, Environment


@dataclass(frozen=True)
class Wishes:
    """What `%gpu use` asks for a session.

    Args:
        environment: What its worker is made with.
        env: Variables, beside those of the worker.
        secrets: Names of secrets; the gateway puts their values among the variables.
        device_memory_bytes: Of each device, what the session means to take; None means all of it.
        exclusive: Whether it shares no device.
    """

    environment: Environment = OWN
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = ()
    device_memory_bytes: int | None = None
    exclusive: bool = False

    def fill(self, request: pb.OpenRequest) -> None:
        """Write the wishes into a request."""
        if self.environment != OWN:
            request.environment.CopyFrom(self.environment.wire)
        request.env.update(self.env)
        request.secrets.extend(self.secrets)
        if self.device_memory_bytes is not None:
            request.device_memory_bytes = self.device_memory_bytes
        request.exclusive = self.exclusive


NONE = Wishes()
"""A session of the runtime's own making."""
