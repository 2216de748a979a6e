"""What a notebook is called, and the session that is its own.

    shell -> notebook_of -> path, or what names the kernel        path, target, environment -> default_session_name
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import PurePath

from IPython.core.interactiveshell import InteractiveShell

ANY = "any"


def notebook_of(shell: InteractiveShell) -> str:
    """Return the notebook's path where a front end tells it, else what names this kernel across restarts."""
    told = shell.user_ns.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME")
    if told:
        return str(told)
    file = shell.config.get("IPKernelApp", {}).get("connection_file", "")
    return PurePath(str(file)).stem if file else f"process-{os.getpid()}"


def default_session_name(notebook: str, target: str, made_with: str = "") -> str:
    """Return a name that people recognise and that two notebooks of one name in two folders do not share.

    Args:
        notebook: Its path.
        target: What the session holds.
        made_with: Key of the worker's environment; sessions of two environments are two.
    """
    stem = _slug(PurePath(notebook).stem)[:24] or "notebook"
    tag = hashlib.blake2b(notebook.encode(), digest_size=3).hexdigest()
    return "-".join(part for part in (stem, tag, "" if target == ANY else _slug(target), made_with) if part)


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-.")
