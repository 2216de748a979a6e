"""Working directories: a session's files, found again under its name until some days after its release.

    take(name) -> sessions/KEY/files              free(name) -> sessions/KEY/released.json
    sweep()    -> released long enough ago: out of the way at once, removed by a thread

    sessions/KEY/files        where cells run
    sessions/KEY/files.part   uploads that are not whole yet
    sessions/KEY/links.json   which links in it lead to mounts and volumes

What decides is on the disk, so a gateway that starts later goes on where an earlier one ended. A directory that
nobody holds and that tells no time counts as released when it is first seen.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from remote_runtime.engines import places, records
from remote_runtime.wire import sources
from remote_runtime.wire.specs import Mount

_log = logging.getLogger(__name__)

FILES = "files"
_MARK = "released.json"
_LINKS = "links.json"
_GOING = ".going-"
_READABLE = 40

_STARTED_AT, _STARTED_S = time.time(), time.monotonic()


def steady() -> float:
    """Return seconds since the epoch, by the wall clock as it was when this process started: it does not jump."""
    return _STARTED_AT + time.monotonic() - _STARTED_S


class Directories:
    """The working directories of one runtime.

    Args:
        root: Where they are; made when the first one is.
        clock: Seconds since the epoch: what is on the disk outlives every process.
    """

    def __init__(self, root: Path, clock: Callable[[], float] = steady) -> None:
        self._root, self._clock = root, clock
        self._held: set[str] = set()

    def take(self, name: str, user: str = "") -> Path:
        """Return the directory of a session that begins or goes on, made where there is none.

        Args:
            name: The session's name.
            user: Whose it is; "" of the account that the runtime runs as.

        Raises:
            Failed: code "disk-full", when there is no room for it.
        """
        key = key_of(name, user)
        self._held.add(key)
        records.private_directory(self._root)
        directory = records.private_directory(self._root / key)
        records.remove(directory / _MARK)
        return records.private_directory(directory / FILES)

    def link(self, name: str, seen: Sequence[Mount], user: str = "") -> None:
        """Show a session what lies elsewhere, by links in its directory that go when it ends.

        Raises:
            Failed: code "files", where something else has such a name.
        """
        directory = self._root / key_of(name, user)
        if places.inside(seen):
            records.write(directory / _LINKS, {"links": places.lay(seen, directory / FILES)})

    def free(self, name: str, user: str = "") -> None:
        """Note that a session has ended; what holds no file goes at once."""
        key = key_of(name, user)
        self._held.discard(key)
        directory = self._root / key
        if not directory.is_dir():
            return
        shutil.rmtree(directory / FILES / sources.FOLDER, ignore_errors=True)
        places.lift((records.read(directory / _LINKS) or {}).get("links", ()), directory / FILES)
        records.remove(directory / _LINKS)
        with suppress(OSError):
            (directory / FILES).rmdir()
            directory.rmdir()
            return
        self._mark(directory)

    def sweep(self, keep_s: float) -> list[Path]:
        """Put out of the way what was released long enough ago.

        Args:
            keep_s: How long a directory outlives its session.

        Returns:
            Directories to be given to `remove`.
        """
        if not self._root.is_dir():
            return []
        return [gone for entry in sorted(self._root.iterdir()) for gone in self._swept(entry, keep_s)]

    def _swept(self, directory: Path, keep_s: float) -> Iterator[Path]:
        if directory.is_symlink() or not directory.is_dir() or directory.name in self._held:
            return
        if directory.name.startswith(_GOING):
            yield directory
        elif self._released_s(directory) >= keep_s:
            # Renamed at once, so that a session which begins now gets a directory of its own.
            going = directory.with_name(f"{_GOING}{uuid.uuid4().hex[:12]}")
            with suppress(OSError):
                directory.rename(going)
                _log.info("the files of %s are removed: nobody opened it again in time", directory.name)
                yield going

    def _released_s(self, directory: Path) -> float:
        """Return for how long nobody has held a directory; a time in the future, of a clock gone back, counts anew."""
        now, mark = self._clock(), records.read(directory / _MARK) or {}
        released_at = mark.get("released_at")
        if isinstance(released_at, (int, float)) and released_at <= now:
            return now - released_at
        self._mark(directory)
        return 0.0

    def _mark(self, directory: Path) -> None:
        try:
            records.write(directory / _MARK, {"released_at": self._clock()})
        except Exception as error:  # noqa: BLE001 - a full disk must not stop a release; the next sweep marks it
            _log.warning("the release of %s was not noted: %s", directory, error)


def key_of(name: str, user: str = "") -> str:
    """Return the directory's name for a session: readable, and another one for every other session and user."""
    whose = hashlib.blake2b(user.encode(), digest_size=16).digest() if user else b""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:_READABLE]
    return f"{readable or 'session'}-{hashlib.blake2b(name.encode(), digest_size=6, salt=whose).hexdigest()}"


def remove(directory: Path) -> None:
    """Remove a directory with all that is in it; links are removed and never followed. Waits for the disk."""
    _make_enterable(directory)
    shutil.rmtree(directory, ignore_errors=True)
    if directory.exists():
        _log.warning("%s could not be removed whole; it is tried again", directory)


def _make_enterable(directory: Path) -> None:
    """Take back the rights that a cell has taken from its own folders, without which they cannot be emptied."""
    todo = [str(directory)]
    while todo:
        with suppress(OSError):
            folder = todo.pop()
            os.chmod(folder, 0o700)
            with os.scandir(folder) as entries:
                todo += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
