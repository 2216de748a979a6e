"""What an upload or a download is made of: the files and folders below a path, on either side.

    path here  -> local_tree -> Tree
    path there -> far_tree   -> Tree

A link counts as what it leads to. One that leads out of the tree, back to a folder it lies in, or nowhere is left
out and named, as is everything that is neither a file nor a folder.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field

from kernel_proxy.folder import Folder
from kernel_proxy.localfiles import on, shown
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.partfile import is_executable, is_partial


@dataclass(frozen=True)
class Leaf:
    """A file of a tree.

    Args:
        path: Relative to the tree's top, with `/`; empty where the top is the file itself.
        size_bytes: Its size when it was looked at.
        executable: Whether its owner may run it.
    """

    path: str
    size_bytes: int
    executable: bool


@dataclass
class Tree:
    """Files and folders below a path.

    Args:
        is_file: Whether the path is a file, then the only one.
        files: In an order that goes folder by folder.
        folders: Relative to the top, which is none of them, parents first.
        left_out: What is not taken along, with the reason.
    """

    is_file: bool = False
    files: list[Leaf] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def leave_out(self, path: str, why: str) -> None:
        """Note something that is not taken along."""
        self.left_out.append(f"{shown(path)} was left out: {why}")


def joined(top: str, path: str) -> str:
    """Return a path below a top, with `/`."""
    return f"{top.rstrip('/') or '/'}/{path}".replace("//", "/") if top and path else top or path


def local_tree(top: str) -> Tree:
    """Return what is below a path here.

    Raises:
        NotFound: There is nothing.
        FilesError: It cannot be read, or is neither a file nor a folder.
    """
    with on(top):
        found = os.stat(top)
        if stat.S_ISREG(found.st_mode):
            return Tree(True, [Leaf("", found.st_size, is_executable(found))])
        tree, real = Tree(), os.path.realpath(top)
        todo = [("", (real,))]
        while todo:
            folder, chain = todo.pop(0)
            todo += _entered(tree, top, folder, chain)
    return tree


def _entered(tree: Tree, top: str, folder: str, chain: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    """Note what one folder here holds, and return the folders in it."""
    inner = []
    try:
        names = sorted(os.listdir(os.path.join(top, folder)))
    except PermissionError:
        if not folder:
            raise
        names = []
        tree.leave_out(folder, "it may not be read")
    for name in names:
        path = joined(folder, name)
        real = os.path.realpath(os.path.join(top, path))
        why = _unfit_link(real, chain, os.sep) or _noted(tree, path, real)
        if why and not is_partial(name):
            tree.leave_out(path, why)
        if tree.folders and tree.folders[-1] == path:
            inner.append((path, (*chain, real)))
    return inner


def _unfit_link(real: str, chain: tuple[str, ...], separator: str) -> str:
    """Return why a link cannot be followed.

    Args:
        real: Where it leads.
        chain: Where the folders lie that it is in, outermost first; an empty top holds everything.
        separator: Between the names of a path.
    """
    if real in chain:
        return "it is a link to a folder that it lies in"
    top = chain[0].rstrip(separator) + separator if chain[0] else ""
    return "" if real.startswith(top) else "it is a link that leads out of the folder"


def _noted(tree: Tree, path: str, real: str) -> str:
    """Note one file or folder; return why it cannot be taken along."""
    try:
        found = os.stat(real)
    except OSError as error:
        return "it is a link that leads nowhere" if isinstance(error, FileNotFoundError) else str(error.strerror)
    if stat.S_ISDIR(found.st_mode):
        tree.folders.append(path)
    elif not stat.S_ISREG(found.st_mode):
        return "it is neither a file nor a folder"
    elif not is_partial(os.path.basename(path)):
        tree.files.append(Leaf(path, found.st_size, is_executable(found)))
    return ""


def far_tree(folder: Folder, top: str, info: pb.FileInfo) -> Tree:
    """Return what is below a path in the session.

    Args:
        folder: The session's working directory.
        top: The path.
        info: What is known of it.

    Raises:
        FilesError: It cannot be read.
    """
    if info.kind == "file":
        return Tree(True, [Leaf("", info.size_bytes, info.executable)])
    tree = Tree()
    todo = [("", (os.fsdecode(info.place),))]
    while todo:
        path, chain = todo.pop(0)
        for found in folder.list(joined(top, path)):
            inner, real = joined(path, os.fsdecode(found.path)), os.fsdecode(found.place)
            why = _unfit(found) or _unfit_link(real, chain, "/")
            if why:
                tree.leave_out(inner, why)
            elif found.kind == "folder":
                tree.folders.append(inner)
                todo.append((inner, (*chain, real)))
            else:
                tree.files.append(Leaf(inner, found.size_bytes, found.executable))
    return tree


def _unfit(info: pb.FileInfo) -> str:
    """Return why something there is neither a file nor a folder of the session."""
    reasons = {
        "": "it is a link that leads nowhere",
        "outside": "it is a link that leads out of the session's working directory",
        "other": info.problem or "it is neither a file nor a folder",
    }
    return reasons.get(info.kind, "")
