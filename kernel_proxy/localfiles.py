"""Files of this machine: what the system says of them in our own words, and their digests.

    with on("data/x.csv"): ...  ->  OSError -> NotFound | DiskFull | FilesError, naming the path
"""

from __future__ import annotations

import difflib
import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from kernel_proxy.errors import DiskFull, FilesError, NotFound, WarmcellError
from remote_runtime.wire.filedigest import Digests, FileChanged

DIGESTS = Digests()
"""Of this process: a file that is sent again and has not changed is not read again."""

_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})


@contextmanager
def on(path: str) -> Iterator[None]:
    """Name the path in whatever the system says while it is worked on.

    Raises:
        NotFound: It is not there.
        DiskFull: There is no room for it.
        FilesError: It cannot be read or written.
    """
    try:
        yield
    except FileChanged as error:
        raise changed(f"{shown(path)} here") from error
    except OSError as error:
        raise _problem(error, path) from error


def changed(what: str) -> FilesError:
    """Return the error for a file that changes while it is read."""
    return FilesError(f"{what} changes while it is read", "do it again when nothing writes to it")


def _problem(error: OSError, path: str) -> WarmcellError:
    why = error.strerror or str(error)
    if isinstance(error, FileNotFoundError):
        return missing(path)
    if error.errno in _FULL:
        return DiskFull(f"{shown(path)} does not fit on the disk here: {why}", "make room, and give the command again")
    return FilesError(f"{shown(path)} here cannot be used: {why}", "check its path and its permissions")


def missing(path: str) -> NotFound:
    """Return the error for a path that is not here, with one that is spelled like it."""
    folder, name = os.path.split(path)
    try:
        siblings = os.listdir(folder or ".")
    except OSError:
        siblings = []
    return NotFound(f"there is no {shown(path)} here", near(folder, name, siblings) or "check the path")


def near(folder: str, name: str, siblings: Iterable[str]) -> str:
    """Return a question after the name that was meant, "" where none is near."""
    found = difflib.get_close_matches(name, list(siblings), n=1)
    return f"did you mean {shown(os.path.join(folder, found[0]))}?" if found else ""


def shown(path: str) -> str:
    """Return a path in backticks; what cannot be printed in it is escaped."""
    return f"`{printable(path)}`"


def printable(text: str) -> str:
    """Return a name so that it stands on one line and can be sent anywhere."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
