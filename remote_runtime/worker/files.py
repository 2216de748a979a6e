"""A session's working directory, as requests: each is answered from the disk, and none reaches beyond the directory.

    FileRequest --table--> resolve the path --inside?--> list, stat, read, write ... -> FileReply

Uploads gather beside the directory, in `DIRECTORY.part`, so that no cell sees half a file. A link is what it leads
to; one that leads out of the directory is refused. Everything here waits for the disk: see `clerk` for who calls.
"""

from __future__ import annotations

import errno
import os
import stat
from bisect import bisect_right
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from remote_runtime.wire import limits, sources
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.filedigest import Digests, FileChanged, open_regular
from remote_runtime.wire.partfile import PartFile, all_zeros, forget_others, is_executable

PAGE_COUNT = 2_000
"""Names in one reply to `list`."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_HINT = "`%gpu ls` lists what is there"


class Files:
    """Answers requests about one directory.

    Args:
        directory: The session's working directory.
        standing: Returns where a cell that runs now would look for a relative path.
        also: Directories beside it, such as volumes -> whether they may be written.
    """

    def __init__(self, directory: str, standing: Callable[[], str], also: Mapping[str, bool] | None = None) -> None:
        self._root = os.path.realpath(directory)
        self._also = {os.path.realpath(path): writable for path, writable in (also or {}).items()}
        self._standing = standing
        self.digests = Digests()

    def answer(self, request: pb.FileRequest) -> pb.FileReply:
        """Do what is asked.

        Raises:
            Failed: It cannot be done; the message names the path.
        """
        body = request.WhichOneof("body") or ""
        if body not in _ANSWERS:
            raise Failed("protocol", f"the worker knows no file request {body!r}", "use the same warmcell on both ends")
        asked = getattr(request, body)
        try:
            return _ANSWERS[body](self, asked)
        except FileChanged as error:
            raise Failed("files", f"{_shown(os.fsencode(str(error)))} in the session changes while it is read",
                         "wait until the run that writes it has ended") from error  # fmt: skip
        except (OSError, ValueError) as error:  # ValueError: a null byte in a path
            raise _failed(error, asked.paths[0] if body == "stat" and asked.paths else asked.path) from error

    # ---- paths --------------------------------------------------------------------------------------------

    def _inside(self, path: bytes) -> str:
        """Return where a path leads to.

        Raises:
            Failed: code "files", for one that leads out of the directory.
        """
        found = os.path.realpath(os.path.join(self._root, os.fsdecode(path)))
        if not self._home(found):
            raise Failed("files", f"{_shown(path)} leads out of the session's working directory",
                         "give a path inside it: " + _HINT)  # fmt: skip
        return found

    def _home(self, found: str) -> str:
        """Return which directory a path lies in, "" where it lies in none."""
        roots = (self._root, *self._also)
        homes = (root for root in roots if found == root or found.startswith(os.path.join(root, "")))
        return max(homes, key=len, default="")

    def _writable(self, path: bytes) -> str:
        """Return where a path leads to that shall be written.

        Raises:
            Failed: code "files", for one that leads out of the directory, or to where nothing may be written.
        """
        found = self._inside(path)
        if not self._also.get(self._home(found), True):
            raise Failed("files", f"{_shown(path)} lies in a directory that this session may only read",
                         "choose another place")  # fmt: skip
        return found

    def _part(self, target: str, digest: bytes) -> PartFile:
        home = self._home(target)
        if target == home or len(digest) != 16:
            raise Failed("protocol", "a file request names no file or no digest", "use the same warmcell on both ends")
        # Beside the directory, unless it is one of others, which may be a file system of its own.
        parts = f"{home}.part" if home == self._root else os.path.join(home, sources.FOLDER)
        return PartFile(Path(parts), os.path.relpath(target, home), digest)

    def _tidy(self, target: str) -> None:
        """Remove the folder of partial files from a directory that is not the session's, once it is empty."""
        home = self._home(target)
        if home != self._root:
            with suppress(OSError):
                os.rmdir(os.path.join(home, sources.FOLDER))

    # ---- looking ------------------------------------------------------------------------------------------

    def _list(self, asked: pb.FileList) -> pb.FileReply:
        folder = self._inside(asked.path)
        names = sorted(name for name in os.listdir(os.fsencode(folder)) if name != os.fsencode(sources.FOLDER))
        start = bisect_right(names, asked.after) if asked.after else 0
        page = names[start : start + PAGE_COUNT]
        infos = [self._info(os.path.join(os.fsencode(folder), name), name) for name in page]
        return pb.FileReply(infos=infos, more=start + len(page) < len(names))

    def _stat(self, asked: pb.FileStat) -> pb.FileReply:
        if asked.as_run:
            return pb.FileReply(infos=[self._as_run(path) for path in asked.paths])
        infos = [self._info(path, path) for path in asked.paths]
        for info in infos if asked.digest else ():
            if info.kind == "file":
                info.digest = self.digests.of(self._inside(info.path))
        return pb.FileReply(infos=infos)

    def _as_run(self, path: bytes) -> pb.FileInfo:
        found = os.path.join(self._standing(), os.path.expanduser(os.fsdecode(path)))
        return pb.FileInfo(path=path, kind="other" if os.path.exists(found) else "")

    def _info(self, path: bytes, name: bytes) -> pb.FileInfo:
        info = pb.FileInfo(path=name)
        try:
            real = self._inside(path)
            info.place = os.fsencode("" if real == self._root else os.path.relpath(real, self._root))
            found = os.stat(real)
        except (FileNotFoundError, NotADirectoryError):
            return info
        except Failed:
            info.kind = "outside"
            return info
        except OSError as error:
            info.kind, info.problem = "other", error.strerror or str(error)
            return info
        regular, folder = stat.S_ISREG(found.st_mode), stat.S_ISDIR(found.st_mode)
        info.kind = "file" if regular else "folder" if folder else "other"
        info.modified_at, info.size_bytes = found.st_mtime, found.st_size if regular else 0
        info.executable = regular and is_executable(found)
        return info

    # ---- reading and writing ------------------------------------------------------------------------------

    def _read(self, asked: pb.FileRead) -> pb.FileReply:
        with open_regular(self._inside(asked.path)) as file:
            content = os.pread(file.fileno(), min(asked.size_bytes, limits.FILE_PIECE_BYTES), asked.offset)
        if content and all_zeros(content):
            return pb.FileReply(zeros_bytes=len(content))
        return pb.FileReply(content=content)

    def _begin(self, asked: pb.FileBegin) -> pb.FileReply:
        target = self._writable(asked.path)
        _refuse_folder(target, asked.path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        part = self._part(target, asked.digest)
        forget_others([part])
        return pb.FileReply(size_bytes=part.begin(asked.size_bytes))

    def _write(self, asked: pb.FileWrite) -> pb.FileReply:
        part = self._part(self._writable(asked.path), asked.digest)
        try:
            return pb.FileReply(again=not part.write(asked.offset, asked.content, asked.zeros_bytes))
        except OSError as error:
            if error.errno in _FULL:  # what nobody can see shall not keep the disk full
                part.discard()
            raise

    def _finish(self, asked: pb.FileFinish) -> pb.FileReply:
        target = self._writable(asked.path)
        part = self._part(target, asked.digest)
        if asked.whole:
            _refuse_folder(target, asked.path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            forget_others([part])
            return pb.FileReply(again=not part.put(asked.content, Path(target), asked.executable))
        again = not part.finish(Path(target), asked.executable, self.digests)
        self._tidy(target)
        return pb.FileReply(again=again)

    def _folder(self, asked: pb.FileFolder) -> pb.FileReply:
        os.makedirs(self._writable(asked.path), exist_ok=True)
        return pb.FileReply()

    def _discard(self, asked: pb.FileDiscard) -> pb.FileReply:
        target = self._writable(asked.path)
        self._part(target, asked.digest).discard()
        self._tidy(target)
        return pb.FileReply()


_ANSWERS: Mapping[str, Callable[..., pb.FileReply]] = {
    "list": Files._list,
    "stat": Files._stat,
    "begin": Files._begin,
    "read": Files._read,
    "write": Files._write,
    "finish": Files._finish,
    "folder": Files._folder,
    "discard": Files._discard,
}


def _refuse_folder(target: str, path: bytes) -> None:
    if os.path.isdir(target):
        raise Failed("files", f"{_shown(path)} in the session is a folder, and a file shall take its place",
                     "choose another name, or remove the folder in a cell")  # fmt: skip


def _failed(error: OSError | ValueError, path: bytes) -> Failed:
    """Say what the system said of a path."""
    if isinstance(error, FileNotFoundError):
        return Failed("not-found", f"there is no {_shown(path)} in the session's working directory", _HINT)
    number, why = getattr(error, "errno", None), getattr(error, "strerror", None) or str(error)
    if number in _FULL:
        return Failed("disk-full", f"{_shown(path)} does not fit on the session's disk: {why}",
                      "remove what is not needed there, in a cell, and do it again")  # fmt: skip
    return Failed("files", f"{_shown(path)} in the session cannot be used: {why}", _HINT)


def _shown(path: bytes) -> str:
    return f"`{path.decode('utf-8', 'backslashreplace')}`"
