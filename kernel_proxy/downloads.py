"""A session's working directory -> files of this machine; a file that differs here is never overwritten unasked.

    path there -> tree -> digests -> each file: here already | here and other: refused | new
               -> pieces into a partial file beside the target -> digest agrees -> renamed -> Moved

Nothing is written before every file is known to have a free place.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from kernel_proxy.errors import FilesError
from kernel_proxy.folder import Folder, Window
from kernel_proxy.localfiles import DIGESTS, changed, on, shown
from kernel_proxy.trees import Leaf, Tree, far_tree, joined
from kernel_proxy.uploads import Moved, Progress, default_place
from remote_runtime.wire import limits
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.partfile import PartFile, forget_others, set_executable


@dataclass
class _Job:
    """One file on its way.

    Args:
        leaf: The file there.
        digest: Of its content there.
        target: Where it goes.
        broken: Whether it must be read again.
    """

    leaf: Leaf
    digest: bytes
    target: Path
    broken: bool = False

    @property
    def part(self) -> PartFile:
        """Where its pieces gather."""
        return PartFile(self.target.parent, self.target.name, self.digest)


def download(
    folder: Folder, there: str, here: str = "", force: bool = False, on_progress: Progress = lambda *_: None
) -> Moved:
    """Bring a file, or a folder with all it holds; calling it again after an interrupt goes on.

    Args:
        folder: The session's working directory.
        there: The path there.
        here: Where it goes: its new path, or the folder it goes into where that ends with `/`. Empty: the same
            relative path as there.
        force: Whether files here that differ are overwritten.
        on_progress: Told what happens.

    Raises:
        NotFound: There is no such path.
        FilesError: A file here differs, or one cannot be read or written.
        DiskFull: It does not fit here.
        WarmcellError: The session is lost.
    """
    info = folder.require(there)
    tree = far_tree(folder, there, info)
    place = local_place(there, here, tree.is_file)
    return _Download(folder, there, place, on_progress).run(tree, force)


def local_place(there: str, here: str, is_file: bool) -> str:
    """Return the path here that a download fills."""
    here = os.path.expanduser(here)
    if not here:
        return default_place(there)
    into = here.endswith(("/", os.sep)) or here == "." or (is_file and os.path.isdir(here))
    name = os.path.basename(os.path.normpath(there))
    return os.path.join(here, "" if name == "." else name) if into else here


class _Download:
    def __init__(self, folder: Folder, there: str, place: str, on_progress: Progress) -> None:
        self._folder, self._there, self._on_progress = folder, there, on_progress
        self._window = Window(folder)
        self._moved = Moved(place)
        self._done_bytes = self._total_bytes = 0

    def run(self, tree: Tree, force: bool) -> Moved:
        self._moved.left_out = tree.left_out
        self._on_progress("comparing", 0, 0)
        jobs = self._free(self._jobs(tree.files), force)
        for path in [] if tree.is_file else ["", *tree.folders]:
            with on(str(self._target(path))):
                self._target(path).mkdir(parents=True, exist_ok=True)
        with on(str(self._target(""))):
            forget_others(job.part for job in jobs)
        self._total_bytes = sum(job.leaf.size_bytes for job in jobs)
        broken = self._receive(jobs)
        self._done_bytes -= sum(job.leaf.size_bytes for job in broken)
        if broken and (broken := self._receive(self._jobs([job.leaf for job in broken]))):
            raise changed(f"{shown(self._far(broken[0].leaf))} in the session")
        return self._moved

    def _far(self, leaf: Leaf) -> str:
        return joined(self._there, leaf.path)

    def _target(self, path: str) -> Path:
        parts = path.split("/") if path else []
        if any(part in ("", ".", "..") or os.sep in part or "\0" in part for part in parts):
            raise FilesError(f"the session names a file {shown(path)}, which is no name here", "rename it in a cell")
        return Path(self._moved.place, *parts)

    # ---- comparing ----------------------------------------------------------------------------------------

    def _jobs(self, leaves: list[Leaf]) -> list[_Job]:
        infos = self._folder.stat((self._far(leaf) for leaf in leaves), digest=True)
        for leaf, info in zip(leaves, infos, strict=True):
            if info.kind != "file":
                raise changed(f"{shown(self._far(leaf))} in the session")
        sized = [replace(leaf, size_bytes=info.size_bytes) for leaf, info in zip(leaves, infos, strict=True)]
        return [_Job(leaf, i.digest, self._target(leaf.path)) for leaf, i in zip(sized, infos, strict=True)]

    def _free(self, jobs: list[_Job], force: bool) -> list[_Job]:
        """Return the files that must travel, after making sure that each has a free place.

        Raises:
            FilesError: One has not.
        """
        new, taken = [], []
        for job in jobs:
            with on(str(job.target)):
                if self._is_same(job):
                    self._moved.same_count += 1
                    continue
            new.append(job)
            if os.path.lexists(job.target) and (job.target.is_dir() or not force):
                taken.append(job.target)
        if taken:
            raise _occupied(taken)
        return new

    def _is_same(self, job: _Job) -> bool:
        target = job.target
        if not target.is_file() or target.stat().st_size != job.leaf.size_bytes:
            return False
        if DIGESTS.of(str(target)) != job.digest:
            return False
        set_executable(target, job.leaf.executable)
        return True

    # ---- receiving ----------------------------------------------------------------------------------------

    def _receive(self, jobs: list[_Job]) -> list[_Job]:
        """Bring files; return those that changed meanwhile."""
        for job in jobs:
            self._ask_pieces(job)
        self._window.drain()
        return [job for job in jobs if job.broken]

    def _ask_pieces(self, job: _Job) -> None:
        size_bytes = job.leaf.size_bytes
        have_bytes = 0
        if size_bytes > limits.FILE_PIECE_BYTES:
            with on(str(job.target)):
                have_bytes = job.part.begin(size_bytes)
        self._done_bytes += have_bytes
        if have_bytes == size_bytes:
            return self._finish(job)
        for offset in range(have_bytes, size_bytes, limits.FILE_PIECE_BYTES):
            wanted_bytes = min(limits.FILE_PIECE_BYTES, size_bytes - offset)
            read = pb.FileRead(path=os.fsencode(self._far(job.leaf)), offset=offset, size_bytes=wanted_bytes)
            self._window.put(partial(self._arrived, job, read), read=read)
        return None

    def _arrived(self, job: _Job, read: pb.FileRead, reply: pb.FileReply) -> None:
        size_bytes = reply.zeros_bytes or len(reply.content)
        self._moved.moved_bytes += size_bytes
        self._done_bytes += size_bytes
        self._on_progress("receiving", min(self._done_bytes, self._total_bytes), self._total_bytes)
        job.broken |= size_bytes != read.size_bytes
        if job.broken:
            return None
        if job.leaf.size_bytes <= limits.FILE_PIECE_BYTES:
            return self._finish(job, reply.content or bytes(reply.zeros_bytes))
        with on(str(job.target)):
            self._write(job, read.offset, reply)
            if read.offset + size_bytes == job.leaf.size_bytes:
                self._finish(job)
        return None

    def _write(self, job: _Job, offset: int, reply: pb.FileReply) -> None:
        try:
            job.broken |= not job.part.write(offset, reply.content, reply.zeros_bytes)
        except OSError:
            job.part.discard()  # a hidden file shall not keep a full disk full
            raise

    def _finish(self, job: _Job, whole: bytes | None = None) -> None:
        executable = job.leaf.executable
        with on(str(job.target)):
            if whole is not None or not job.leaf.size_bytes:
                job.broken = not job.part.put(whole or b"", job.target, executable)
            elif not job.broken:
                job.broken = not job.part.finish(job.target, executable, DIGESTS)
        self._moved.files_count += not job.broken


def _occupied(taken: list[Path]) -> FilesError:
    first, more = taken[0], f" and {len(taken) - 1} more" if len(taken) > 1 else ""
    if first.is_dir():
        what = f"{shown(str(first))} here is a folder, and a file shall take its place"
        return FilesError(what, "name another place")
    return FilesError(
        f"{shown(str(first))}{more} here differs from the session's; nothing was downloaded",
        "give `--force` to overwrite what is here, or name another place",
    )
