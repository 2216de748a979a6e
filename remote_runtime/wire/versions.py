"""Versions of both ends, compared in the first message, and shown as a table when they differ."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from remote_runtime.wire import limits
from remote_runtime.wire import messages_pb2 as pb

COMPARED = ("cloudpickle", "numpy", "torch", "pandas")
"""Packages whose pickles depend on their version."""

VERSION = "0.1.0"


def installed(name: str) -> str | None:
    """Return a distribution's version without importing it, or None where it is absent."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


@lru_cache(maxsize=1)
def here() -> pb.Versions:
    """Return the versions of this process. The result is shared: copy it before changing it."""
    found = {name: version for name in COMPARED if (version := installed(name)) is not None}
    return pb.Versions(
        protocol=limits.PROTOCOL, warmcell=VERSION, python=platform.python_version(), packages=found, host=host_id()
    )


def host_id() -> str:
    """Return an id that two processes share when a Unix socket path means the same file to both."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = platform.node()
    return f"{sys.platform}:{boot}"


def blocking(kernel: pb.Versions, worker: pb.Versions) -> tuple[str, ...]:
    """Name the differences that make exchanging values impossible.

    Functions travel as bytecode, which is the same only within one minor version of Python; cloudpickle promises
    nothing across its own major versions.
    """
    rows = []
    if kernel.protocol != worker.protocol:
        rows.append("protocol")
    if _parts(kernel.python, 2) != _parts(worker.python, 2):
        rows.append("python")
    ours, theirs = kernel.packages.get("cloudpickle", ""), worker.packages.get("cloudpickle", "")
    if ours and theirs and _parts(ours, 1) != _parts(theirs, 1):
        rows.append("cloudpickle")
    return tuple(rows)


def differing(kernel: pb.Versions, worker: pb.Versions) -> tuple[str, ...]:
    """Name the differences worth a notice: same package on both ends, another minor version."""
    both = [name for name in COMPARED if name in kernel.packages and name in worker.packages]
    return tuple(n for n in both if _parts(kernel.packages[n], 2) != _parts(worker.packages[n], 2))


def table(kernel: pb.Versions, worker: pb.Versions, rows: Iterable[str]) -> str:
    """Draw the differing rows as a text table, kernel beside worker."""
    lines = [("package", "kernel", "worker")]
    lines += [(row, _of(kernel, row), _of(worker, row)) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(3)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _of(versions: pb.Versions, row: str) -> str:
    if row in ("protocol", "python"):
        return str(getattr(versions, row))
    return versions.packages.get(row, "-")


def _parts(version: str, count: int) -> tuple[str, ...]:
    return tuple(version.split(".")[:count])
