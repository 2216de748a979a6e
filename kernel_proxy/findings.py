"""What a check says, and what checks look at: each fact is found out once, whichever of them asks first."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property

from kernel_proxy import statedir
from kernel_proxy.errors import WarmcellError
from kernel_proxy.runtime import Runtime, connect
from kernel_proxy.settings import Settings
from remote_runtime.wire import messages_pb2 as pb


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Args:
        name: The check.
        state: "ok", "warn" or "fail".
        sentence: What was found.
        fix: What to do; empty when all is well.
    """

    name: str
    state: str
    sentence: str
    fix: str = ""


Verdict = tuple[str, str, str]
"""State, sentence, fix."""


def ok(sentence: str) -> Verdict:
    """Return the verdict that all is well."""
    return "ok", sentence, ""


class Patient:
    """What the checks look at; each fact is found out once.

    Args:
        settings: Of this client.

    Attributes:
        asked_at: This machine's clock before `info` was asked for.
        told_at: The same when it was there.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.asked_at = self.told_at = 0.0

    @cached_property
    def gateway(self) -> statedir.Gateway | None:
        """The embedded gateway, where it runs."""
        return statedir.find(self.settings.home)

    @cached_property
    def runtime(self) -> Runtime:
        """The runtime, if it can be reached.

        Raises:
            WarmcellError: It cannot.
        """
        return connect(self.settings, start=False)

    @cached_property
    def info(self) -> pb.RuntimeInfo | None:
        """What the runtime says of itself; None when it cannot be asked."""
        try:
            self.asked_at = time.time()
            found = self.runtime.describe()
            self.told_at = time.time()
        except WarmcellError:
            return None
        return found

    def close(self) -> None:
        """Let go of the runtime."""
        if "runtime" in self.__dict__:
            self.runtime.close()
