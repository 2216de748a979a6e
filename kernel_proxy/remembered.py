"""The runtime that was connected to last: one settings file of the state directory, which `connect` writes.

    url -> HOME/connection.toml -> `settings.load_settings` of the next kernel
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from kernel_proxy.errors import DiskFull, SettingsError

NAME = "connection.toml"

_HEAD = "# written by `%gpu connect` and `warmcell connect`; `connect local` removes it\n"


def remember(home: Path, url: str) -> None:
    """Note the address for the kernels that follow.

    Args:
        home: The client's state directory.
        url: The runtime's address.

    Raises:
        DiskFull: There is no room for it.
        SettingsError: The directory cannot be written.
    """
    part = home / f"{NAME}.{os.getpid()}"
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(f"{_HEAD}url = {json.dumps(url)}\n")
        part.replace(home / NAME)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        kind = DiskFull if error.errno == 28 else SettingsError
        raise kind(f"{home / NAME} cannot be written: {error.strerror}", "see WARMCELL_HOME") from error


def forget(home: Path) -> None:
    """Let the kernels that follow use this machine's own runtime again."""
    with suppress(OSError):
        (home / NAME).unlink()
