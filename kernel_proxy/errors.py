"""What warmcell raises in the user's process, as one tree.

    WarmcellError
    +-- CaptureError            a value of the notebook cannot travel; nothing ran
    |   +-- SizeGate            it is larger than what is sent unasked
    |   +-- SecretGate          its name says that it is a secret
    +-- SettingsError           a setting cannot be read
    +-- NotYet                  the flag or command is planned
    +-- HandleError (TypeError) a value that stays remote was used as if it were here
    +-- NotFound (LookupError)  no such name, run or session
    +-- RuntimeUnavailable      the runtime cannot be reached
    |   +-- NotRunning          because none runs, and none was to be started
    +-- Unauthorized            it does not accept the token, or not for this
    +-- VersionMismatch         both ends cannot exchange values
    +-- TargetUnavailable       it has no such device
    |   +-- BadTarget           the target cannot be read
    +-- TargetBusy              the device, or the session, is held by someone else
    +-- Unsupported             the engine cannot do what is asked for
    +-- SessionLost             the session's variables are gone
    +-- WorkerDied              the user process ended under the run
    |   +-- OutOfMemory         because it passed its memory limit
    |   +-- Interrupted         because it ignored the interrupt and had to be killed
    +-- RunCancelled            someone cancelled the run
    +-- RunTimeout (TimeoutError)
    +-- DivergedError           a name was changed here and in the session
    +-- TransferError           a value arrived and could not be rebuilt, or could not leave
    |   +-- TrustError          because it is no data, and data alone is taken
    +-- DiskFull                a disk of the runtime, or of this machine, is full
    +-- ImageError              an image cannot be built
    +-- FilesError              a file here or in the session cannot be read, written or reached
    +-- RuntimeDefect           a defect of ours
    |   +-- ProtocolError       a frame was cut, doubled or of another version
    +-- RemoteError             the user's own exception, whose class cannot be imported here

Failures cross the wire as codes (`remote_runtime/wire/failures.py`); `from_failure` is the one place that
turns a code into a class. The user's own exceptions are not in the tree: they arrive as themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class WarmcellError(Exception):
    """The root of what warmcell raises.

    Args:
        message: What happened, with the value, in one sentence.
        hint: What to do about it, without the word "hint".
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint
        self.detail: Mapping[str, str] = {}

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class CaptureError(WarmcellError):
    """A value of the notebook cannot travel; nothing ran."""


class SizeGate(CaptureError):
    """A captured value is larger than what is sent without being asked for."""


class SecretGate(CaptureError):
    """A captured string has a name that says it is a secret."""


class SettingsError(WarmcellError):
    """A setting cannot be read."""


class NotYet(WarmcellError):
    """The flag or command is planned and not there yet."""


class HandleError(WarmcellError, TypeError):
    """A value that stays remote was used as if it were here."""


class HandleAttributeError(HandleError, AttributeError):
    """An attribute of a remote value was asked for; also an AttributeError, so that `hasattr` is False."""


class NotFound(WarmcellError, LookupError):
    """No such name, run or session."""


class RuntimeUnavailable(WarmcellError):
    """The runtime cannot be reached."""


class NotRunning(RuntimeUnavailable):
    """No runtime runs, and none was to be started."""


class Unauthorized(WarmcellError):
    """The runtime does not accept the token."""


class VersionMismatch(WarmcellError):
    """Kernel and worker cannot exchange values; the message holds the table."""


class TargetUnavailable(WarmcellError):
    """The runtime has no such device."""


class BadTarget(TargetUnavailable):
    """The target cannot be read."""


class TargetBusy(WarmcellError):
    """The device or the session is held by someone else."""


class Unsupported(WarmcellError):
    """The runtime's engine cannot do what is asked for."""


class SessionLost(WarmcellError):
    """The session's variables are gone."""


class WorkerDied(WarmcellError):
    """The user process ended under the run."""


class OutOfMemory(WorkerDied):
    """The worker passed its memory limit."""


class Interrupted(WorkerDied):
    """The run ignored its interrupt and was killed."""


class RunCancelled(WarmcellError):
    """Someone cancelled the run."""


class RunTimeout(WarmcellError, TimeoutError):
    """The run passed its `--timeout`."""


class DivergedError(WarmcellError):
    """A name was changed here and in the session since they were last equal; nothing ran."""


class TransferError(WarmcellError):
    """A value could not be rebuilt where it arrived, or could not leave."""


class TrustError(TransferError):
    """A value is no data, and data alone is taken from this runtime."""


class DiskFull(WarmcellError):
    """A disk of the runtime, or of this machine, is full."""


class FilesError(WarmcellError):
    """A file here or in the session's working directory cannot be read, written or reached."""


class ImageError(WarmcellError):
    """An image cannot be described or built; the message has the step and its last lines."""


class RuntimeDefect(WarmcellError):
    """Something happened that never should: a defect of the runtime itself."""


class ProtocolError(RuntimeDefect):
    """A frame was cut, doubled or of another version."""


class RemoteError(WarmcellError):
    """The user's own exception, whose class cannot be imported here.

    Args:
        message: The exception's own text.
        hint: What to do.
        class_name: The exception's class there, as `package.Class`.
    """

    def __init__(self, message: str, hint: str = "", class_name: str = "Exception") -> None:
        super().__init__(message, hint)
        self.class_name = class_name

    def __str__(self) -> str:
        return f"{self.class_name}: {super().__str__()}"

    def __reduce__(self) -> tuple[type[RemoteError], tuple[str, str, str]]:
        return type(self), (self.message, self.hint, self.class_name)


CLASSES: Mapping[str, type[WarmcellError]] = {
    "bad-target": BadTarget,
    "target-unavailable": TargetUnavailable,
    "target-busy": TargetBusy,
    "unauthorized": Unauthorized,
    "unsupported": Unsupported,
    "forbidden": Unauthorized,
    "version-mismatch": VersionMismatch,
    "worker-died": WorkerDied,
    "session-lost": SessionLost,
    "unpack": TransferError,
    "pack": TransferError,
    "timeout": RunTimeout,
    "interrupted": Interrupted,
    "cancelled": RunCancelled,
    "memory": OutOfMemory,
    "protocol": ProtocolError,
    "untrusted": TrustError,
    "disk-full": DiskFull,
    "not-found": NotFound,
    "mirror": TransferError,
    "evicted": TransferError,
    "diverged": DivergedError,
    "files": FilesError,
    "image": ImageError,
    "busy": TargetBusy,
    "unavailable": RuntimeUnavailable,
    "internal": RuntimeDefect,
    "settings": SettingsError,
}
"""Code of a failure -> what is raised here. `settings` never crosses the wire."""


class Failure(Protocol):
    """A failure in any of its forms: the wire's message, or `failures.Failed`."""

    code: str
    message: str
    hint: str
    detail: Mapping[str, str]


def from_failure(failure: Failure | str, message: str = "", hint: str = "") -> WarmcellError:
    """Turn a failure into the exception to raise.

    Args:
        failure: The failure, or its code alone, with the two texts beside it.
        message: What happened, when `failure` is a code.
        hint: What to do, when `failure` is a code.

    Returns:
        An instance of the code's class; the root class, with the code in its message, for a code of later.
    """
    if isinstance(failure, str):
        return _instance(failure, message, hint)
    error = _instance(failure.code, failure.message, failure.hint)
    error.detail = dict(failure.detail)
    return error


def _instance(code: str, message: str, hint: str) -> WarmcellError:
    if code in CLASSES:
        return CLASSES[code](message, hint)
    return WarmcellError(f"{message} ({code})", hint)
