"""Where this user is logged in: runtimes by their address, each with a token and the certificate that it is known by.

    warmcell login -> save -> HOME/logins.json, HOME/ca/*.pem (this user's alone)
    load_settings  -> setting(address, or the one logged in to last) -> url, token, ca_file

A token is only ever given out for the address that it was stored for.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kernel_proxy.errors import SettingsError

FILE = "logins.json"


@dataclass(frozen=True)
class Login:
    """One runtime that this user is logged in to.

    Args:
        url: Its address.
        token: The user's.
        ca_file: PEM bundle that it is checked by; "" means the system's.
        user: By which name it knows this user.
    """

    url: str
    token: str = field(repr=False)
    ca_file: str = ""
    user: str = ""


def plain_url(url: str) -> str:
    """Return an address in the form in which it is stored."""
    return url.strip().rstrip("/")


def setting(home: Path, url: str | None) -> dict[str, str]:
    """Return the settings that a login gives.

    Args:
        home: State directory.
        url: The runtime that is wanted; None: the one logged in to last.

    Returns:
        `url`, `token` and `ca_file`; nothing where this user is not logged in there.

    Raises:
        SettingsError: The file cannot be read.
    """
    found = find(home, url)
    return {"url": found.url, "token": found.token, "ca_file": found.ca_file} if found is not None else {}


def find(home: Path, url: str | None = None) -> Login | None:
    """Return a login, None where there is none; see `setting`."""
    content = _read(home)
    wanted = plain_url(url) if url is not None else content.get("current", "")
    stored = content.get("logins", {}).get(wanted)
    return Login(**stored) if stored is not None else None


def every(home: Path) -> list[Login]:
    """Return all logins, that of now first."""
    content = _read(home)
    found = [Login(**stored) for stored in content.get("logins", {}).values()]
    return sorted(found, key=lambda login: login.url != content.get("current"))


def save(home: Path, login: Login) -> None:
    """Store a login, as the one that kernels use from now on.

    Raises:
        SettingsError: It cannot be written.
    """
    content = _read(home)
    content.setdefault("logins", {})[login.url] = asdict(login)
    _write(home / FILE, json.dumps({**content, "current": login.url}, indent=1))


def forget(home: Path, url: str | None = None) -> Login | None:
    """Remove a login with its certificate, and return it; the one of now, where no address is given."""
    gone, content = find(home, url), _read(home)
    if gone is None:
        return None
    del content["logins"][gone.url]
    if content.get("current") == gone.url:
        content["current"] = ""
    _write(home / FILE, json.dumps(content, indent=1))
    if Path(gone.ca_file).parent == home / "ca" and gone.ca_file not in {one.ca_file for one in every(home)}:
        with suppress(FileNotFoundError):
            Path(gone.ca_file).unlink()
    return gone


def keep_ca(home: Path, pem: str) -> str:
    """Store a certificate, and return its file."""
    file = home / "ca" / f"{hashlib.sha256(pem.encode()).hexdigest()[:16]}.pem"
    _write(file, pem)
    return str(file)


def _read(home: Path) -> dict[str, Any]:
    file = home / FILE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"the logins in {file} cannot be read: {error}", "remove it, and log in again") from error
    known = isinstance(content, Mapping) and all(
        isinstance(one, Mapping) and {"url", "token"} <= set(one) <= set(Login.__dataclass_fields__)
        for one in content.get("logins", {}).values()
    )
    if not known:
        raise SettingsError(f"the file {file} holds no logins", "remove it, and log in again")
    return dict(content)


def _write(file: Path, text: str) -> None:
    scratch = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
            out.write(text)
        os.replace(scratch, file)
    except OSError as error:
        with suppress(OSError):
            scratch.unlink()
        raise SettingsError(f"{file} cannot be written: {error.strerror}", "check WARMCELL_HOME") from error
