"""Ends what a test's runtime has left running, told by its own directory."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def sweep(directory: str | Path, timeout_s: float = 10.0) -> None:
    """Kill every process whose command line names a directory, and wait until they are gone."""
    deadline = time.monotonic() + timeout_s
    while left := processes(directory):
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        assert time.monotonic() < deadline, f"processes {left} do not end"
        time.sleep(0.02)


def processes(directory: str | Path) -> list[int]:
    """Return the processes whose command line names a directory."""
    marked = os.fsencode(directory) + b"/"
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if marked in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found
