"""Rooms: what a worker in a container sees of the host's files, and how a session's files get in and out.

    sessions/KEY/files --enter--> rooms/WORKER/files, seen by one container --leave--> sessions/KEY/files

A container is warm before anybody knows whose it will be, and nothing can be mounted into it later. So the session's
directory moves into the room that the container has from its start: a rename, needing no right beyond the
directory's. The room itself is not the worker's to write in, only what lies in it.
"""

from __future__ import annotations

import compileall
import hashlib
import logging
import os
import py_compile
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from remote_runtime.engines import records

PART = ".part"
"""Beside a session's directory lies another of this suffix, for files on their way."""

_FILES, _HOME = "files", "home"
_SHIPPED = ("__init__.py", "wire", "worker")
_log = logging.getLogger(__name__)


class Rooms:
    """The rooms of one installation.

    Args:
        root: Where they are, on the file system of the sessions' directories.
        uid: Who workers are.
    """

    def __init__(self, root: Path, uid: int) -> None:
        self._root, self._uid = root, uid

    def make(self, worker_id: str) -> Path:
        """Return a worker's room, made with a home in it.

        Raises:
            Failed: code "disk-full", when there is no room for it.
        """
        records.private_directory(self._root)
        room = self.path(worker_id)
        room.mkdir(exist_ok=True)
        room.chmod(0o755)
        home = records.private_directory(room / _HOME)
        give(home, self._uid)
        return room

    def path(self, worker_id: str) -> Path:
        """Return where a worker's room is."""
        return self._root / worker_id

    def names(self) -> list[str]:
        """Return the ids of the workers that have a room."""
        return sorted(entry.name for entry in self._root.iterdir()) if self._root.is_dir() else []

    def enter(self, worker_id: str, directory: Path) -> str:
        """Move a session's directory, and what is on its way to it, into a worker's room.

        Returns:
            The directory's name in the room.

        Raises:
            OSError: It lies on another file system, or is not there.
        """
        room = self.path(worker_id)
        for source, name in ((directory, _FILES), (_beside(directory), _FILES + PART)):
            if not (room / name).is_dir():
                source.mkdir(mode=0o700, exist_ok=True)
                os.rename(source, room / name)
            give(room / name, self._uid)
        return _FILES

    def leave(self, worker_id: str, directory: Path) -> None:
        """Move a session's directory back, after its worker has ended; what is no directory any more is dropped."""
        room = self.path(worker_id)
        for name, target in ((_FILES, directory), (_FILES + PART, _beside(directory))):
            if not _is_directory(room / name):
                continue
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with suppress(OSError):
                target.rmdir()  # an empty one, which somebody has made meanwhile
            try:
                os.rename(room / name, target)
            except OSError as error:
                _log.warning("the files in %s could not go back to %s: %s", room / name, target, error)
        with suppress(OSError):
            _beside(directory).rmdir()

    def remove(self, worker_id: str) -> None:
        """Remove a room with all that is left in it; links are removed and not followed."""
        room = self.path(worker_id)
        if _is_directory(room / _FILES):
            _log.warning("the room %s still holds a session's files and is kept", room)
            return
        shutil.rmtree(room, ignore_errors=True)


def _beside(directory: Path) -> Path:
    return Path(f"{directory}{PART}")


def _is_directory(path: Path) -> bool:
    """Tell whether a path is a directory itself; a link that user code put there is none."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def give(directory: Path, uid: int) -> None:
    """Make a directory and all in it a user's own, where it is not so already; links are not followed.

    Only root can: another gateway's workers are of its own user, and there is nothing to give.
    """
    if os.getuid() != 0 or directory.lstat().st_uid == uid:
        return
    for folder, names, files in os.walk(directory):
        for name in (*names, *files):
            os.chown(os.path.join(folder, name), uid, uid, follow_symlinks=False)
    os.chown(directory, uid, uid, follow_symlinks=False)


def shipped(root: Path) -> Path:
    """Return a directory with the worker's code, copied there once for each content.

    A container gets the code of the gateway that starts it, in whatever image, and keeps it while the gateway's own
    is upgraded. Only what a worker imports is in it, readable for every user, compiled ahead: a container's file
    system is read-only, so no interpreter in it could keep what it compiles.

    Args:
        root: Where the copies are.
    """
    source = Path(__file__).resolve().parents[1]
    files = _files(source)
    place = root / hashlib.blake2b(repr(sorted(files.items())).encode(), digest_size=8).hexdigest()
    if place.is_dir():
        return place
    scratch = place.with_name(f".{place.name}.{os.getpid()}")
    for name in files:
        target = scratch / source.name / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target)
    compileall.compile_dir(scratch, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    for path in (scratch, *scratch.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    with suppress(OSError):  # somebody else was quicker
        os.rename(scratch, place)
    shutil.rmtree(scratch, ignore_errors=True)
    return place


def _files(source: Path) -> Mapping[str, str]:
    """Return each file that a worker needs, with a digest of its content."""
    found = [source / name for name in _SHIPPED]
    paths = [p for path in found for p in ([path] if path.is_file() else sorted(path.rglob("*.py")))]
    return {str(path.relative_to(source)): hashlib.blake2b(path.read_bytes()).hexdigest() for path in paths}
