"""Records: small JSON files that are either whole or not there, readable by their owner alone.

dict -> write -> DIR/NAME.json -> read_all (by the next gateway) -> dicts
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from remote_runtime.wire.failures import Failed

_FULL = (errno.ENOSPC, errno.EDQUOT)


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
