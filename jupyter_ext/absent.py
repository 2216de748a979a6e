"""Files that are here and not in the session: said before a run that reads them, and after one that missed them.

    cell -> literal paths -> here? -> asked there, each once -> a notice with the upload to make
    FileNotFoundError     -> here? -> a last line `hint:` below the traceback
"""

from __future__ import annotations

import os
import re

from jupyter_ext import display
from jupyter_ext.connection import Connection
from jupyter_ext.far import Far
from jupyter_ext.paths import literal_paths
from kernel_proxy.errors import WarmcellError
from kernel_proxy.folder import Folder
from kernel_proxy.localfiles import printable
from kernel_proxy.uploads import default_place
from remote_runtime.wire import messages_pb2 as pb

ANSWER_S = 2.0
"""How long a run waits for the answer whether its files are there."""

_NAMED = re.compile(r"'(?P<path>[^']+)'$")


def warn(connection: Connection, far: Far, source: str) -> None:
    """Say which files of a cell are here and not there; each path is asked for once in a session.

    Args:
        connection: The kernel's.
        far: Where the cell is about to run.
        source: The cell.
    """
    new = [path for path in literal_paths(source) if path not in far.paths_asked and _is_here(path)]
    if not new:
        return
    far.paths_asked.update(new)
    try:
        seen = Folder(far.session).seen_by_run(new, ANSWER_S)
    except WarmcellError:
        return  # the run will meet the same trouble, and tell it
    for path, is_there in zip(new, seen, strict=True):
        if not is_there:
            display.notice(connection.shell, sentence(path))


def hints(problem: pb.Problem, exception: BaseException | None) -> list[str]:
    """Return the line that stands below a FileNotFoundError whose file is here; none for anything else."""
    path = _missed(problem, exception)
    return [f"hint: {sentence(path)}"] if path and _is_here(path) else []


def sentence(path: str) -> str:
    """Say that a path is here and not there, and what to do."""
    place = default_place(path)
    same = os.path.normpath(path) == os.path.normpath(place)
    then = "" if same else f", and read it as `{printable(place)}`"
    return f"`{printable(path)}` is here but not in the session: `%gpu upload {_quoted(path)}`{then}"


def _missed(problem: pb.Problem, exception: BaseException | None) -> str:
    if isinstance(exception, FileNotFoundError):
        named = exception.filename
        if isinstance(named, (str, bytes, os.PathLike)):
            return os.fsdecode(named)
    if isinstance(exception, FileNotFoundError) or problem.type_name == "FileNotFoundError":
        found = _NAMED.search(problem.message)
        return found["path"] if found else ""
    return ""


def _is_here(path: str) -> bool:
    try:
        return os.path.exists(os.path.expanduser(path))
    except ValueError:  # a null byte
        return False


def _quoted(path: str) -> str:
    text = printable(path)
    if not re.search(r"""[\s"'#]|^-""", text):
        return text
    return f'"{text}"' if '"' not in text else f"'{text}'"
