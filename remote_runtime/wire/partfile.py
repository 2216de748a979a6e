r"""A file on its way: its bytes gather in a partial file, which takes the target's place once its digest agrees.

    begin -> write, write ... -> finish -> renamed over the target
      ^                \- the line breaks, an interrupt: the bytes that arrived stay
      +--- the next attempt goes on behind them

Both ends use it: the worker for uploads, the kernel for downloads. Its name says which file and which content it is
for, so an attempt that finds one goes on with the same content. Bytes are written in order, without gaps.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from remote_runtime.wire.filedigest import Digests, digest_of

SUFFIX = ".part"
_PREFIX = ".warmcell-"


def is_partial(name: str) -> bool:
    """Tell whether a name is one that partial files have."""
    return name.startswith(_PREFIX) and name.endswith(SUFFIX)


class PartFile:
    """The partial file of one target and one content.

    Args:
        folder: Where it lies, mostly on the target's file system.
        name: What the target is called, unique within the folder.
        digest: Of the content.

    Attributes:
        stem: What the partial files of this target begin with, whatever their content.
        path: This one's path.
    """

    def __init__(self, folder: Path, name: str, digest: bytes) -> None:
        self.stem = f"{_PREFIX}{digest_of(os.fsencode(name)).hex()[:16]}"
        self.path = folder / f"{self.stem}-{digest.hex()[:16]}{SUFFIX}"
        self._digest = digest

    def begin(self, size_bytes: int) -> int:
        """Find it or make it.

        Args:
            size_bytes: Of the whole content.

        Returns:
            How many bytes it has already.

        Raises:
            OSError: It cannot be made.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab") as file:
            if file.tell() > size_bytes:
                file.truncate(0)
            return os.fstat(file.fileno()).st_size

    def write(self, offset: int, content: bytes, zeros_bytes: int = 0) -> bool:
        """Write a piece; a run of zeros at the end is left out of the disk.

        Returns:
            False when the file is not there or ends before the piece, so that all must come again.

        Raises:
            OSError: It cannot be written, for want of space mostly.
        """
        if not self.path.exists():
            return False
        with open(self.path, "r+b") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            if offset > size_bytes:
                return False
            if zeros_bytes and offset == size_bytes:
                file.truncate(offset + zeros_bytes)
            else:
                file.seek(offset)
                file.write(content or bytes(zeros_bytes))
        return True

    def finish(self, target: Path, executable: bool, digests: Digests) -> bool:
        """Put it in the target's place.

        Args:
            target: Replaced at once, or made.
            executable: Whether it may be run.
            digests: Reads the content.

        Returns:
            False when the content is another than was announced, so that all must come again.

        Raises:
            OSError: It cannot be put there.
        """
        try:
            agrees = digests.of(str(self.path)) == self._digest
        except FileNotFoundError:  # a finish that is sent again finds its work done
            if not (target.is_file() and digests.of(str(target)) == self._digest):
                return False
            set_executable(target, executable)
            return True
        if not agrees:
            self.discard()
            return False
        set_executable(self.path, executable)
        self._move(target)
        return True

    def put(self, content: bytes, target: Path, executable: bool) -> bool:
        """Put a whole content in the target's place.

        Returns:
            False when it is another than was announced.

        Raises:
            OSError: It cannot be put there.
        """
        if digest_of(content) != self._digest:
            return False
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.path.write_bytes(content)
            set_executable(self.path, executable)
            self._move(target)
        except OSError:
            self.discard()
            raise
        return True

    def _move(self, target: Path) -> None:
        try:
            os.replace(self.path, target)
        except OSError as error:
            if error.errno != errno.EXDEV:  # a volume may be mounted below the folder
                raise
            beside = target.with_name(self.path.name)
            try:
                shutil.copy(self.path, beside)
                os.replace(beside, target)
            except OSError:
                beside.unlink(missing_ok=True)
                raise
            self.discard()

    def discard(self) -> None:
        """Remove it, if it is there."""
        with suppress(OSError):
            self.path.unlink()


def forget_others(parts: Iterable[PartFile]) -> None:
    """Remove what earlier contents of the same targets have left; each folder is read once."""
    folders: dict[Path, dict[str, set[str]]] = {}
    for part in parts:
        folders.setdefault(part.path.parent, {}).setdefault(part.stem, set()).add(part.path.name)
    for folder, wanted in folders.items():
        names = os.listdir(folder) if folder.is_dir() else []
        for name in filter(is_partial, names):
            if name not in wanted.get(name.rpartition("-")[0], {name}):
                with suppress(OSError):
                    (folder / name).unlink()


def is_executable(found: os.stat_result) -> bool:
    """Tell whether a file's owner may run it."""
    return bool(found.st_mode & stat.S_IXUSR)


def set_executable(path: Path, executable: bool) -> None:
    """Let those run a file who may read it, or nobody."""
    mode = stat.S_IMODE(path.stat().st_mode)
    wanted = mode | (mode & 0o444) >> 2 if executable else mode & ~0o111
    if wanted != mode:
        path.chmod(wanted)


def all_zeros(content: bytes) -> bool:
    """Tell whether a piece holds nothing but zeros."""
    return content == bytes(len(content))

