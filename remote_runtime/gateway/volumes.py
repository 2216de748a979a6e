"""Volumes: named directories that outlive sessions, of one user each.

    make(user, name) -> state/volumes/USER/NAME        mounted(user, VolumeMount) -> the same, under its whole name

A volume is a directory of the runtime's host: all sessions that have it see what one of them writes at once. `commit`
makes sure that it is on the disk; there is nothing to reload.
"""

from __future__ import annotations

import ctypes
import os
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from remote_runtime.engines import places, records
from remote_runtime.gateway import directories
from remote_runtime.gateway.mounts import target_of
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.settingnames import name_problem
from remote_runtime.wire.specs import VolumeMount

COUNTED_FILES = 20_000
"""More files than this are not counted for a list."""

_GOING = ".going-"


class Volumes:
    """The volumes of one runtime. Every method waits for the disk.

    Args:
        state: Directory of the runtime.
    """

    def __init__(self, state: Path) -> None:
        self._root = state / places.VOLUMES

    def make(self, user: str, name: str, create: bool = True, must_be_new: bool = False) -> pb.VolumeInfo:
        """Return a volume, made where it is not there.

        Args:
            user: Whose.
            name: Of the volume.
            create: Whether it is made.
            must_be_new: Whether one that is there is an error.

        Raises:
            Failed: It is not there, is there, or cannot have that name.
        """
        path = self._path(user, name)
        if path.is_dir() and must_be_new:
            raise Failed("busy", f"there is a volume {name} already", "choose another name")
        if not path.is_dir() and not create:
            raise self._absent(user, name)
        records.private_directory(self._root)
        records.private_directory(path.parent)
        return _info(records.private_directory(path))

    def remove(self, user: str, name: str) -> None:
        """Remove a volume with all that is in it.

        Raises:
            Failed: code "not-found".
        """
        path = self._require(user, name)
        going = path.with_name(f"{_GOING}{uuid.uuid4().hex[:12]}")
        path.rename(going)
        directories.remove(going)

    def list(self, user: str) -> list[pb.VolumeInfo]:
        """Return a user's volumes."""
        return [_info(self._root / directories.key_of(user) / name) for name in self._names(user)]

    def commit(self, user: str, name: str) -> None:
        """Wait until all that was written into a volume is on the disk.

        Raises:
            Failed: code "not-found".
        """
        descriptor = os.open(self._require(user, name), os.O_RDONLY | os.O_DIRECTORY)
        try:
            if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
                number = ctypes.get_errno()
                raise Failed("disk-full", f"the volume {name} could not be written out: {os.strerror(number)}",
                             "free some space on the runtime's disk, and write the files again")  # fmt: skip
        finally:
            os.close(descriptor)

    def mounted(self, user: str, volumes: Iterable[VolumeMount]) -> tuple[VolumeMount, ...]:
        """Return volumes under the names by which the engine finds them, which say whose they are.

        Raises:
            Failed: code "not-found", for one that is not there; "unsupported", for a target that cannot be.
        """
        found = []
        for volume in volumes:
            self._require(user, volume.name)
            target = target_of(volume.target or volume.name, f"the volume {volume.name}")
            found.append(replace(volume, name=f"{directories.key_of(user)}/{volume.name}", target=target))
        return tuple(found)

    def _path(self, user: str, name: str) -> Path:
        wrong = name_problem(name)
        if wrong:
            raise Failed("not-found", wrong, "`warmcell volume list` shows the names")
        return self._root / directories.key_of(user) / name

    def _require(self, user: str, name: str) -> Path:
        path = self._path(user, name)
        if not path.is_dir():
            raise self._absent(user, name)
        return path

    def _names(self, user: str) -> list[str]:
        with suppress(FileNotFoundError):
            folder = self._root / directories.key_of(user)
            return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
        return []

    def _absent(self, user: str, name: str) -> Failed:
        has = ", ".join(self._names(user))
        hint = f"make it with `warmcell volume create {name}`" + (f"; you have {has}" if has else "")
        return Failed("not-found", f"there is no volume {name}", hint, {"volume": name})


def _info(path: Path) -> pb.VolumeInfo:
    info, size_bytes, count = pb.VolumeInfo(name=path.name), 0, 0
    with suppress(OSError):
        info.created_at = path.stat().st_mtime
    for folder, _, files in os.walk(path):
        count += len(files)
        if count > COUNTED_FILES:
            return info
        for file in files:
            with suppress(OSError):
                size_bytes += os.lstat(os.path.join(folder, file)).st_size
    info.size_bytes, info.file_count = size_bytes, count
    return info
