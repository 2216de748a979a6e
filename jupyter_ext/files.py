"""`%gpu ls`, `upload` and `download`: the session's working directory in the notebook.

    ls       -> Folder.list            -> a table, folders first
    upload   -> kernel_proxy.uploads   -> status line while it lasts -> `3 files, 12 MB sent, 2 unchanged`
    download -> kernel_proxy.downloads -^
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from jupyter_ext.connection import Connection
from jupyter_ext.far import Far
from jupyter_ext.receipt import size_text
from jupyter_ext.reports import Report
from jupyter_ext.status import StatusLine
from kernel_proxy import downloads, uploads
from kernel_proxy.folder import Folder
from kernel_proxy.localfiles import printable
from kernel_proxy.uploads import Moved, Progress
from remote_runtime.wire import messages_pb2 as pb

LEFT_OUT_COUNT = 10
"""Notes about what was left out, before they are only counted."""


def listing(far: Far, path: str = "") -> Report:
    """Show a folder of the session's working directory, or one file.

    Raises:
        NotFound: There is no such path.
        FilesError: It leads out of the directory.
    """
    folder = Folder(far.session)
    info = folder.require(path or ".")
    infos = folder.list(path or ".") if info.kind == "folder" else [info]
    infos.sort(key=lambda found: found.kind != "folder")
    rows = tuple((_name(found), _size(found), _time(found)) for found in infos)
    where = f"{printable(path)} in session {far.session.name}" if path else f"session {far.session.name}"
    return Report(f"{where}: {_contents(infos)}", ("name", "size", "changed"), rows)


def upload(connection: Connection, far: Far, here: str, there: str = "") -> Report:
    """Send a file or a folder to the session.

    Raises:
        WarmcellError: It cannot be sent.
        KeyboardInterrupt: It was interrupted; the same command goes on.
    """
    folder = Folder(far.session)
    moved = _shown(connection, far, lambda progress: uploads.upload(folder, here, there, progress))
    return _report(moved, "sent", f"session {far.session.name}")


def download(connection: Connection, far: Far, there: str, here: str = "", force: bool = False) -> Report:
    """Bring a file or a folder from the session.

    Raises:
        WarmcellError: It cannot be brought, or differs here and `force` is not given.
        KeyboardInterrupt: It was interrupted; the same command goes on.
    """
    folder = Folder(far.session)
    moved = _shown(connection, far, lambda progress: downloads.download(folder, there, here, force, progress))
    return _report(moved, "received", "this machine")


def _shown(connection: Connection, far: Far, move: Callable[[Progress], Moved]) -> Moved:
    """Move files under a status line."""
    reached = ""

    def progress(phase: str, done_bytes: int, total_bytes: int) -> None:
        nonlocal reached
        reached = f"{size_text(done_bytes)} of {size_text(total_bytes)}" if total_bytes else ""
        status.reword(f"{phase} {reached}".rstrip())

    with StatusLine(connection.shell, connection.traits.status_line) as status:
        status.at(far.where)
        status.say("comparing")
        try:
            return move(progress)
        except KeyboardInterrupt:
            at = f" at {reached}" if reached else ""
            raise KeyboardInterrupt(f"stopped{at}; the same command goes on from there") from None


def _report(moved: Moved, verb: str, where: str) -> Report:
    files = f"{moved.files_count} file" + ("s" if moved.files_count != 1 else "")
    same = f", {moved.same_count} unchanged" if moved.same_count else ""
    left, more = moved.left_out[:LEFT_OUT_COUNT], len(moved.left_out) - LEFT_OUT_COUNT
    notes = (*left, f"and {more} more were left out") if more > 0 else tuple(left)
    title = f"{files}, {size_text(moved.moved_bytes)} {verb}{same}"
    return Report(title, notes=(f"in `{printable(moved.place)}` of {where}", *notes))


def _contents(infos: list[pb.FileInfo]) -> str:
    folders = sum(info.kind == "folder" for info in infos)
    files = len(infos) - folders
    total = size_text(sum(info.size_bytes for info in infos))
    words = [f"{files} file{'s' if files != 1 else ''}, {total}" if files else ""]
    words.append(f"{folders} folder{'s' if folders != 1 else ''}" if folders else "")
    return ", ".join(word for word in words if word) or "no files"


def _name(info: pb.FileInfo) -> str:
    name = printable(os.fsdecode(info.path))
    notes = {"folder": "/", "outside": " (leads out of the directory)", "": " (leads nowhere)"}
    return name.rstrip("/") + notes.get(info.kind, "*" if info.executable else "")


def _size(info: pb.FileInfo) -> str:
    return size_text(info.size_bytes if info.kind == "file" else None)


def _time(info: pb.FileInfo) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(info.modified_at)) if info.modified_at else "-"
