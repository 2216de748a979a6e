"""What a first cell needs, checked one by one: a check is a row of a table and a function of what is known.

    settings -> Patient -> CHECKS -> findings (ok, warn or fail; a sentence; what to do)

Nothing is started or changed: a runtime that does not run is a warning, as the first cell starts it.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from kernel_proxy import statedir
from kernel_proxy.errors import NotRunning, RuntimeUnavailable, WarmcellError
from kernel_proxy.runtime import Runtime, connect
from kernel_proxy.settings import Settings
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import versions

LOW_DISK_BYTES = 1024**3
LOW_FILES_COUNT = 256

_HAS_MODES = os.name == "posix"
"""Whether a file's mode tells who may read it."""


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


def _ok(sentence: str) -> Verdict:
    return "ok", sentence, ""


class Patient:
    """What the checks look at; each fact is found out once.

    Args:
        settings: Of this client.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

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
            return self.runtime.describe()
        except WarmcellError:
            return None

    def close(self) -> None:
        """Let go of the runtime."""
        if "runtime" in self.__dict__:
            self.runtime.close()


def python(patient: Patient) -> Verdict:
    """Whether this Python is one that we run on."""
    found = ".".join(map(str, sys.version_info[:3]))
    return _ok(f"Python {found} on {sys.platform}")


def packages(patient: Patient) -> Verdict:
    """Whether the packages that values travel with are there."""
    found = {name: versions.installed(name) for name in ("grpcio", "protobuf", "cloudpickle", "ipython")}
    missing = [name for name, version in found.items() if version is None]
    if missing:
        return "fail", f"{', '.join(missing)} cannot be found", f"pip install {' '.join(missing)}"
    return _ok(", ".join(f"{name} {version}" for name, version in found.items()))


def configuration(patient: Patient) -> Verdict:
    """Where the runtime is said to be."""
    settings = patient.settings
    if settings.embedded and not statedir.CAN_RUN:
        return "fail", f"there is no address, and a runtime of its own needs Linux: this is {sys.platform}", \
            statedir.ADDRESS_HINT
    if settings.embedded:
        return _ok(f"this machine's own runtime, in {settings.home}")
    if not settings.token and not settings.over_ssh:
        return "fail", f"WARMCELL_URL is {settings.place}, and there is no token", "set WARMCELL_TOKEN"
    return _ok(f"the runtime at {settings.place}")


def state_directory(patient: Patient) -> Verdict:
    """Whether the state directory can be used."""
    home = patient.settings.home
    if not home.exists():
        parent = next(p for p in home.parents if p.exists())
        if os.access(parent, os.W_OK):
            return _ok(f"{home} will be made on first use")
        return "fail", f"{home} cannot be made in {parent}", "set WARMCELL_HOME to a writeable directory"
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        return "fail", f"{home} cannot be written by this user", "set WARMCELL_HOME to one of your own"
    if _HAS_MODES and stat.S_IMODE(home.stat().st_mode) & 0o022:
        return "warn", f"{home} can be written by other users", f"chmod 700 {home}"
    return _ok(f"{home} can be written")


def token(patient: Patient) -> Verdict:
    """Whether the token is kept from others."""
    file = patient.settings.home / "token"
    if not file.exists():
        return _ok("there is no token file yet")
    mode = stat.S_IMODE(file.stat().st_mode)
    if _HAS_MODES and mode & 0o077:
        return "fail", f"{file} has mode {mode:o}, so others can read it", f"chmod 600 {file}"
    return _ok(f"{file} is readable by you alone" if _HAS_MODES else f"{file} is as private as its folder")


def sockets(patient: Patient) -> Verdict:
    """Whether there is a short private directory for sockets."""
    if not statedir.CAN_RUN:
        return _ok("a runtime on another machine needs no socket here")
    if not patient.settings.home.exists():
        return _ok("the socket directory will be made on first use")
    try:
        return _ok(f"sockets are in {statedir.runtime_dir(patient.settings.home)}")
    except RuntimeUnavailable as error:
        return "fail", error.message, error.hint


def disk(patient: Patient) -> Verdict:
    """Whether there is room for logs and working directories."""
    place = patient.settings.home
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < LOW_DISK_BYTES:
        return "warn", f"{free / 1024**3:.1f} GiB are free at {place}", "make room, or move WARMCELL_HOME"
    return _ok(f"{free / 1024**3:.0f} GiB are free at {place}")


def open_files(patient: Patient) -> Verdict:
    """Whether enough files may be open at once."""
    try:
        import resource  # POSIX only
    except ImportError:
        return _ok("this system sets no limit that could be read")
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < LOW_FILES_COUNT:
        return "warn", f"only {soft} files may be open at once", f"ulimit -n {LOW_FILES_COUNT * 4}"
    return _ok(f"{soft} files may be open at once")


def runtime(patient: Patient) -> Verdict:
    """Whether the runtime answers, and its versions fit."""
    if patient.settings.embedded and patient.gateway is None:
        return "warn", "no runtime runs", "nothing to do: the first `%%gpu` cell starts it, or `warmcell up`"
    try:
        notice = patient.runtime.version_notice
    except NotRunning as error:
        return "warn", error.message, "nothing to do: the first `%%gpu` cell starts it"
    except WarmcellError as error:
        return "fail", error.message, error.hint
    if notice:
        return "warn", f"versions differ between here and the runtime\n{notice}", "install the same on both"
    return _ok(f"it answers at {patient.runtime.http}, and its versions fit")


def devices(patient: Patient) -> Verdict:
    """What the runtime offers."""
    if patient.info is None:
        return "warn", "not known while no runtime answers", "start one with `warmcell up`"
    broken = [device.id for device in patient.info.devices if device.state == "failed"]
    if broken:
        return "warn", f"{', '.join(broken)} failed", "see `nvidia-smi` on the runtime's machine"
    names = [d.model + (" (simulated)" if d.simulated else "") for d in patient.info.devices]
    if not any(device.id != "cpu" for device in patient.info.devices):
        return "warn", "the runtime has no GPU, only `cpu`", "use `%%gpu cpu`, or a machine with one"
    return _ok(", ".join(names))


def starting(patient: Patient) -> Verdict:
    """How the runtime's workers start."""
    if patient.info is None:
        return "warn", "not known while no runtime answers", "start one with `warmcell up`"
    if not patient.info.start:
        return _ok("not known yet")
    return _ok(f"by {patient.info.start}: {patient.info.start_why}")


CHECKS: Mapping[str, Callable[[Patient], Verdict]] = {
    "python": python,
    "packages": packages,
    "settings": configuration,
    "state directory": state_directory,
    "token": token,
    "sockets": sockets,
    "disk": disk,
    "open files": open_files,
    "runtime": runtime,
    "devices": devices,
    "workers": starting,
}
"""Name -> check, in the order in which they are shown."""


def examine(settings: Callable[[], Settings]) -> list[Finding]:
    """Run every check.

    Args:
        settings: Reads the settings; that it can is the first thing checked.
    """
    try:
        patient = Patient(settings())
    except WarmcellError as error:
        return [Finding("settings", "fail", error.message, error.hint)]
    try:
        return [Finding(name, *check(patient)) for name, check in CHECKS.items()]
    finally:
        patient.close()


def text(findings: list[Finding]) -> str:
    """Write findings as lines, each with what to do."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.state:4}  {finding.name.ljust(width)}  {finding.sentence}")
        if finding.fix:
            lines.append(f"{'':4}  {'':{width}}  hint: {finding.fix}")
    return "\n".join(lines)
