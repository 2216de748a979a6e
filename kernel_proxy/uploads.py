"""Files of this machine -> a session's working directory: what is there already is not sent again.

    path -> tree -> folders made -> digests compared -> small files whole, large ones in pieces -> Moved

A large file gathers in a partial file there, found again by path and content: an upload that was interrupted goes on
where it stopped. It takes its place once its digest agrees.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from kernel_proxy.folder import Folder, Window
from kernel_proxy.localfiles import DIGESTS, changed, on, shown
from kernel_proxy.trees import Leaf, Tree, joined, local_tree
from remote_runtime.wire import limits
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.filedigest import FileChanged, digest_of, open_regular
from remote_runtime.wire.partfile import all_zeros

Progress = Callable[[str, int, int], None]
"""Told what happens ("comparing", "sending", "receiving"), bytes done, and bytes in all."""

ATTEMPTS = 2
"""How often a file is read that changes while it is read."""


@dataclass
class Moved:
    """What an upload or a download did.

    Args:
        place: Where the files are now.
        files_count: Files that travelled.
        moved_bytes: Bytes that travelled; what an earlier attempt had moved is not among them.
        same_count: Files that were there already.
        left_out: What was not taken along, with the reasons.
    """

    place: str
    files_count: int = 0
    moved_bytes: int = 0
    same_count: int = 0
    left_out: list[str] = field(default_factory=list)


def upload(folder: Folder, here: str, there: str = "", on_progress: Progress = lambda *_: None) -> Moved:
    """Send a file, or a folder with all it holds; calling it again after an interrupt goes on.

    Args:
        folder: The session's working directory.
        here: The path here; `~` is the home folder.
        there: Where it goes: its new path, or the folder it goes into where that ends with `/`. Empty: the same
            relative path as here, or just its name where it has none.
        on_progress: Told what happens.

    Raises:
        NotFound: There is no such path.
        FilesError: It cannot be read, or written there.
        DiskFull: It does not fit there.
        WarmcellError: The session is lost.
    """
    here = os.path.expanduser(here)
    tree = local_tree(here)
    return _Upload(folder, here, far_place(folder, here, there, tree.is_file), on_progress).run(tree)


def far_place(folder: Folder, here: str, there: str, is_file: bool) -> str:
    """Return the path there that an upload fills."""
    name = os.path.basename(os.path.abspath(here))
    if not there:
        return default_place(here)
    into = there.endswith("/") or there == "." or (is_file and folder.stat([there])[0].kind == "folder")
    return joined(there, name) if into else there


def default_place(path: str) -> str:
    """Return where a path goes on the other side: to the same relative path, or to its bare name."""
    normal = os.path.normpath(os.path.expanduser(path)).replace(os.sep, "/")
    if os.path.isabs(normal) or normal == ".." or normal.startswith("../"):
        return os.path.basename(os.path.abspath(normal))
    return normal


class _Upload:
    def __init__(self, folder: Folder, here: str, place: str, on_progress: Progress) -> None:
        self._folder, self._here, self._on_progress = folder, here, on_progress
        self._window = Window(folder)
        self._moved = Moved(place)
        self._done_bytes = self._total_bytes = 0
        self._again = False

    def run(self, tree: Tree) -> Moved:
        self._moved.left_out = tree.left_out
        self._make_folders(tree)
        leaves = self._different(tree)
        self._total_bytes = sum(leaf.size_bytes for leaf in leaves)
        for leaf in leaves:
            self._send(leaf)
        self._window.drain()
        return self._moved

    def _local(self, leaf: Leaf) -> str:
        return os.path.join(self._here, leaf.path) if leaf.path else self._here

    def _far(self, path: str) -> bytes:
        return os.fsencode(joined(self._moved.place, path))

    def _make_folders(self, tree: Tree) -> None:
        for path in [] if tree.is_file else ["", *tree.folders]:
            self._window.put(lambda reply: None, folder=pb.FileFolder(path=self._far(path)))
        self._window.drain()

    # ---- comparing ----------------------------------------------------------------------------------------

    def _different(self, tree: Tree) -> list[Leaf]:
        """Return the files that must travel: those whose size or digest is another there."""
        self._on_progress("comparing", 0, 0)
        infos = self._folder.stat(os.fsdecode(self._far(leaf.path)) for leaf in tree.files)
        alike = [leaf for leaf, info in zip(tree.files, infos, strict=True)
                 if info.kind == "file" and info.size_bytes == leaf.size_bytes]  # fmt: skip
        digests = self._folder.stat((os.fsdecode(self._far(leaf.path)) for leaf in alike), digest=True)
        same = {leaf.path for leaf, info in zip(alike, digests, strict=True) if self._is_same(leaf, info)}
        self._moved.same_count = len(same)
        return [leaf for leaf in tree.files if leaf.path not in same]

    def _is_same(self, leaf: Leaf, info: pb.FileInfo) -> bool:
        with on(self._local(leaf)):
            digest = _digest(self._local(leaf))
        if digest is None or digest != info.digest:
            return False
        if info.executable != leaf.executable:
            finish = pb.FileFinish(path=info.path, digest=digest, executable=leaf.executable)
            return not self._folder.ask(finish=finish).again
        return True

    # ---- sending ------------------------------------------------------------------------------------------

    def _send(self, leaf: Leaf) -> None:
        path = self._local(leaf)
        with on(path):
            if leaf.size_bytes <= limits.FILE_PIECE_BYTES and self._sent_whole(leaf, path):
                return
            self._window.drain()
            before_bytes = self._done_bytes
            for _ in range(ATTEMPTS):
                if self._sent_in_pieces(leaf, path):
                    self._moved.files_count += 1
                    return
                self._done_bytes = before_bytes
        raise changed(f"{shown(path)} here")

    def _sent_whole(self, leaf: Leaf, path: str) -> bool:
        with open_regular(path) as file:
            content = file.read(limits.FILE_PIECE_BYTES + 1)
        if len(content) > limits.FILE_PIECE_BYTES:  # it has grown since
            return False
        finish = pb.FileFinish(path=self._far(leaf.path), digest=digest_of(content), executable=leaf.executable)
        finish.whole, finish.content = True, content
        self._window.put(lambda reply: self._arrived(len(content)), finish=finish)
        self._moved.files_count += 1
        return True

    def _sent_in_pieces(self, leaf: Leaf, path: str) -> bool:
        """Send a file in pieces; return whether it arrived as its digest says."""
        digest = _digest(path)
        if digest is None:
            return False
        far, self._again = self._far(leaf.path), False
        begin = pb.FileBegin(path=far, digest=digest, size_bytes=os.stat(path).st_size)
        have_bytes = self._folder.ask(begin=begin).size_bytes
        self._done_bytes += have_bytes
        with open_regular(path) as file:
            file.seek(have_bytes)
            offset = have_bytes
            while not self._again and (content := file.read(limits.FILE_PIECE_BYTES)):
                self._put_piece(pb.FileWrite(path=far, digest=digest, offset=offset), content)
                offset += len(content)
        self._window.drain()
        finish = pb.FileFinish(path=far, digest=digest, executable=leaf.executable)
        return not self._again and not self._folder.ask(finish=finish).again

    def _put_piece(self, write: pb.FileWrite, content: bytes) -> None:
        size_bytes = len(content)
        if all_zeros(content):
            write.zeros_bytes = size_bytes
        else:
            write.content = content
        self._window.put(lambda reply: self._arrived(size_bytes, reply.again), write=write)

    def _arrived(self, size_bytes: int, again: bool = False) -> None:
        self._again |= again
        self._moved.moved_bytes += size_bytes
        self._done_bytes += size_bytes
        self._on_progress("sending", min(self._done_bytes, self._total_bytes), self._total_bytes)


def _digest(path: str) -> bytes | None:
    """Return a local file's digest, None where it changed while it was read."""
    try:
        return DIGESTS.of(path)
    except FileChanged:
        return None
