"""The failures that cross the wire, as a table: code -> what a reader can do about it.

A worker or the gateway answers with a code, one sentence and a hint; the kernel turns the code into an exception
class (`kernel_proxy/errors.py`). The user's own exceptions are no failures: they travel as themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

EVICTED = "evicted"

CODES: Mapping[str, str] = {
    "bad-target": "the target cannot be read",
    "target-unavailable": "the runtime has no such device",
    "target-busy": "the device exists but is held",
    "unauthorized": "the token is missing or wrong",
    "unsupported": "the engine cannot do what is asked for",
    "forbidden": "the token is good and may not do this",
    "version-mismatch": "kernel and worker cannot exchange values",
    "worker-died": "the user process ended under the run",
    "session-lost": "the session's memory is gone",
    "unpack": "a captured value could not be rebuilt on the worker",
    "pack": "a value could not be pickled on the worker",
    "timeout": "the run passed its --timeout",
    "interrupted": "the run was interrupted and had to be killed",
    "cancelled": "the run was cancelled",
    "memory": "the worker passed its memory limit",
    "protocol": "a frame was cut, doubled or of another version",
    "untrusted": "the value is no data, and data alone was asked for",
    "disk-full": "a disk of the runtime is full",
    "not-found": "no such name, run or session",
    "mirror": "kernel and session do not hold the same names any more",
    EVICTED: "content that did not travel is no longer held by the session",
    "diverged": "a name was changed at both ends",
    "files": "a file of the session cannot be read, written or reached",
    "image": "an image cannot be built",
    "busy": "the session is running another cell",
    "unavailable": "the runtime cannot be reached",
    "internal": "a defect of the runtime itself",
}


@dataclass(eq=False)
class Failed(Exception):
    """A failure on its way to the wire.

    Args:
        code: A key of `CODES`.
        message: What happened, with the value, in one sentence.
        hint: What to do, without the word "hint".
        detail: Further facts for programs.
    """

    code: str
    message: str
    hint: str = ""
    detail: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message
