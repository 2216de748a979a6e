"""What a test left behind: processes whose command line names a directory."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def processes_naming(text: str) -> list[str]:
    """Return the command lines of living processes that hold a text."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and text in (line := (entry / "cmdline").read_bytes().decode(errors="replace")):
                found.append(f"{entry.name} {line.replace(chr(0), ' ')}")
    return found
