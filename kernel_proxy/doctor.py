"""What a first cell needs, checked one by one: a check is a row of a table and a function of what is known.

    settings -> Patient -> CHECKS, WAY -> findings (ok, warn or fail; a sentence; what to do)
                        -> the runtime's own findings

Nothing is started or changed: a runtime that does not run is a warning, as the first cell starts it.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Callable, Mapping

from kernel_proxy import logins, statedir
from kernel_proxy.doctor_way import WAY, far_side
from kernel_proxy.errors import RuntimeUnavailable, WarmcellError
from kernel_proxy.findings import Finding, Patient, Verdict, ok
from kernel_proxy.settings import Settings
from remote_runtime.wire import versions

LOW_DISK_BYTES = 1024**3
LOW_FILES_COUNT = 256

_HAS_MODES = os.name == "posix"
"""Whether a file's mode tells who may read it."""


def python(patient: Patient) -> Verdict:
    """Whether this Python is one that we run on."""
    found = ".".join(map(str, sys.version_info[:3]))
    return ok(f"Python {found} on {sys.platform}")


def packages(patient: Patient) -> Verdict:
    """Whether the packages that values travel with are there."""
    found = {name: versions.installed(name) for name in ("grpcio", "protobuf", "cloudpickle", "ipython")}
    missing = [name for name, version in found.items() if version is None]
    if missing:
        return "fail", f"{', '.join(missing)} cannot be found", f"pip install {' '.join(missing)}"
    return ok(", ".join(f"{name} {version}" for name, version in found.items()))


def configuration(patient: Patient) -> Verdict:
    """Where the runtime is said to be."""
    settings = patient.settings
    if settings.embedded and not statedir.CAN_RUN:
        return "fail", f"there is no address, and a runtime of its own needs Linux: this is {sys.platform}", \
            statedir.ADDRESS_HINT
    if settings.embedded:
        return ok(f"this machine's own runtime, in {settings.home}")
    if not settings.token and not settings.over_ssh:
        return "fail", f"the runtime is {settings.place}, and there is no token for it", \
            f"`warmcell login {settings.place}`, or set WARMCELL_TOKEN"
    login = logins.find(settings.home, settings.url)
    return ok(f"the runtime at {settings.place}" + (f", logged in as {login.user}" if login is not None else ""))


def state_directory(patient: Patient) -> Verdict:
    """Whether the state directory can be used."""
    home = patient.settings.home
    if not home.exists():
        parent = next(p for p in home.parents if p.exists())
        if os.access(parent, os.W_OK):
            return ok(f"{home} will be made on first use")
        return "fail", f"{home} cannot be made in {parent}", "set WARMCELL_HOME to a writeable directory"
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        return "fail", f"{home} cannot be written by this user", "set WARMCELL_HOME to one of your own"
    if _HAS_MODES and stat.S_IMODE(home.stat().st_mode) & 0o022:
        return "warn", f"{home} can be written by other users", f"chmod 700 {home}"
    return ok(f"{home} can be written")


def token(patient: Patient) -> Verdict:
    """Whether tokens are kept from others."""
    home = patient.settings.home
    files = [file for file in (home / "token", home / logins.FILE) if file.exists()]
    if not files:
        return ok("there is no token file yet")
    names = " and ".join(map(str, files))
    for file in files:
        mode = stat.S_IMODE(file.stat().st_mode)
        if _HAS_MODES and mode & 0o077:
            return "fail", f"{file} has mode {mode:o}, so others can read it", f"chmod 600 {file}"
    return ok(f"{names} can be read by you alone" if _HAS_MODES else f"{names}: as private as the folder")


def sockets(patient: Patient) -> Verdict:
    """Whether there is a short private directory for sockets."""
    if not statedir.CAN_RUN:
        return ok("a runtime on another machine needs no socket here")
    if not patient.settings.home.exists():
        return ok("the socket directory will be made on first use")
    try:
        return ok(f"sockets are in {statedir.runtime_dir(patient.settings.home)}")
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
    return ok(f"{free / 1024**3:.0f} GiB are free at {place}")


def open_files(patient: Patient) -> Verdict:
    """Whether enough files may be open at once."""
    try:
        import resource  # POSIX only
    except ImportError:
        return ok("this system sets no limit that could be read")
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < LOW_FILES_COUNT:
        return "warn", f"only {soft} files may be open at once", f"ulimit -n {LOW_FILES_COUNT * 4}"
    return ok(f"{soft} files may be open at once")


CHECKS: Mapping[str, Callable[[Patient], Verdict]] = {
    "python": python,
    "packages": packages,
    "settings": configuration,
    "state directory": state_directory,
    "token": token,
    "sockets": sockets,
    "disk": disk,
    "open files": open_files,
}
"""Name -> check of this machine, in the order in which they are shown; those of `doctor_way` follow."""


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
        near = [Finding(name, *check(patient)) for name, check in {**CHECKS, **WAY}.items()]
        return [*near, *far_side(patient)]
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
