"""Records: what an engine knows of its workers, kept by whoever made it; and small files, whole or not there.

    worker id, facts -> WorkerRecords -> (the next gateway's engine) -> all
    dict -> write -> NAME.json, readable by its owner alone -> read_all -> dicts
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from remote_runtime.wire.failures import Failed

_FULL = (errno.ENOSPC, errno.EDQUOT)

Facts = Mapping[str, Any]
"""What an engine writes down of one worker, in its own words; JSON can hold it."""


class WorkerRecords(Protocol):
    """Where an engine writes its workers down, so that the next one finds them."""

    async def write(self, worker_id: str, facts: Facts) -> None:
        """Replace what is known of a worker, and return when it would outlive this process.

        Raises:
            Failed: It could not be written; what was known before is untouched.
        """

    def remove(self, worker_id: str) -> None:
        """Forget a worker, after all that was asked for before; one that is not known is forgotten."""

    async def all(self) -> Mapping[str, Facts]:
        """Return what is known of every worker by its id."""


class MemoryRecords:
    """Records that end with the process: for an engine whose workers do too."""

    def __init__(self) -> None:
        self._facts: dict[str, Facts] = {}

    async def write(self, worker_id: str, facts: Facts) -> None:
        """See `WorkerRecords`."""
        self._facts[worker_id] = dict(facts)

    def remove(self, worker_id: str) -> None:
        """See `WorkerRecords`."""
        self._facts.pop(worker_id, None)

    async def all(self) -> Mapping[str, Facts]:
        """See `WorkerRecords`."""
        return dict(self._facts)


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a record.

    Args:
        path: Its file; the directory is there.
        content: What JSON can hold.

    Raises:
        Failed: code "disk-full" where it does not fit; the old record is untouched.
        OSError: For other trouble with the file.
    """
    write_text(path, json.dumps(content))


def write_text(path: Path, text: str) -> None:
    """Replace a file that only its owner may read.

    Raises:
        Failed: code "disk-full" where it does not fit; the old file is untouched.
        OSError: For other trouble with the file.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with _full_disk_named(path):
        try:
            with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(text)
            os.replace(scratch, path)
        except OSError:
            with suppress(OSError):
                scratch.unlink()
            raise


@contextmanager
def _full_disk_named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise Failed(
            "disk-full",
            f"the runtime could not write {path}: the disk is full",
            f"free some space on the disk that holds {path.parent}",
            {"path": str(path)},
        ) from error


def read(path: Path) -> dict[str, Any] | None:
    """Return a record, or None where there is none or it is damaged."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def read_all(directory: Path) -> dict[str, dict[str, Any]]:
    """Return every whole record of a directory by its name, damaged ones left out."""
    found = {path.stem: read(path) for path in sorted(directory.glob("*.json"))}
    return {name: content for name, content in found.items() if content is not None}


def remove(path: Path) -> None:
    """Remove a record; one that is not there is gone."""
    with suppress(FileNotFoundError):
        path.unlink()


def private_directory(path: Path) -> Path:
    """Make a directory that only its owner can enter, and return it.

    Raises:
        Failed: code "disk-full" where there is no room for it.
        OSError: Where it cannot be made or belongs to somebody else.
    """
    with _full_disk_named(path):
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.stat().st_mode & 0o077:
        path.chmod(0o700)
    return path
