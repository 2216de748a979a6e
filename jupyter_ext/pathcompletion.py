"""Paths that complete a word of a `%gpu` line, here and in an open session.

    "data/tr" -> the names in `data` -> those that begin with `tr`, folders with `/` at the end
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from remote_runtime.wire.partfile import is_partial

if TYPE_CHECKING:
    from jupyter_ext.far import Far

ANSWER_S = 0.5
"""How long a session may take to tell its files; a completion that comes later is in nobody's way."""


def here(word: str) -> list[str]:
    """Return the paths here that begin with a word."""
    folder, start = os.path.split(word)
    try:
        with os.scandir(os.path.expanduser(folder) or ".") as entries:
            found = [(entry.name, entry.is_dir()) for entry in entries]
    except (OSError, ValueError):
        return []
    return _fitting(folder, start, found)


def there(far: Far, word: str) -> list[str]:
    """Return the paths in an open session that begin with a word."""
    from kernel_proxy.errors import WarmcellError
    from kernel_proxy.folder import Folder

    folder, start = os.path.split(word)
    try:
        infos = Folder(far.session).list(folder, ANSWER_S)
    except WarmcellError:
        return []
    return _fitting(folder, start, [(os.fsdecode(info.path), info.kind == "folder") for info in infos])


def _fitting(folder: str, start: str, found: list[tuple[str, bool]]) -> list[str]:
    shown = [(name, is_folder) for name, is_folder in sorted(found) if start or not name.startswith(".")]
    return [
        os.path.join(folder, name) + ("/" if is_folder else "")
        for name, is_folder in shown
        if name.startswith(start) and name.isprintable() and " " not in name and not is_partial(name)
    ]
