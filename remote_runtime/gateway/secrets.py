"""Secrets: named sets of variables, of one user each, encrypted where they lie; the only place that knows the key.

    put(user, name, variables) -> state/secrets/USER/NAME, encrypted      variables(user, names) -> what a session gets

The key is a file beside them that only the runtime's user may read: what is copied without it, as in a backup of
the store, says nothing. Whoever may read the key may read the secrets. Values are in no log and no message but the
one that a worker is claimed with.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remote_runtime.engines import records
from remote_runtime.gateway.directories import key_of
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.settingnames import name_problem, variable_problem

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

KEY = "secrets.key"


class Secrets:
    """The secrets of one runtime. Every method waits for the disk.

    Args:
        state: Directory of the runtime.
    """

    def __init__(self, state: Path) -> None:
        self._root, self._key = state / "secrets", state / KEY

    def put(self, user: str, name: str, variables: Mapping[str, str], overwrite: bool = False) -> pb.SecretInfo:
        """Keep a secret.

        Args:
            user: Whose.
            name: Of the secret.
            variables: Names and values.
            overwrite: Whether one of that name is replaced.

        Raises:
            Failed: A name cannot be used, or is taken; code "disk-full", where it does not fit.
        """
        wrong = name_problem(name) or next(filter(None, map(variable_problem, variables)), "")
        if wrong or not variables:
            raise Failed("unsupported", wrong or f"the secret {name} has no variables", "choose another name"
                         if wrong else "give it at least one")  # fmt: skip
        path = self._path(user, name)
        if path.exists() and not overwrite:
            raise Failed("busy", f"there is a secret {name} already", "choose another name, or overwrite it")
        made = {"variables": dict(variables), "created_at": time.time()}
        records.private_directory(self._root)
        records.private_directory(path.parent)
        records.write_text(path, self._cipher().encrypt(json.dumps(made).encode()).decode())
        return _info(name, made)

    def remove(self, user: str, name: str) -> None:
        """Forget a secret; sessions that have it keep it.

        Raises:
            Failed: code "not-found".
        """
        try:
            self._path(user, name).unlink()
        except FileNotFoundError:
            raise self._absent(user, name) from None

    def list(self, user: str) -> list[pb.SecretInfo]:
        """Return a user's secrets, without their values."""
        return [_info(name, self._read(user, name)) for name in self._names(user)]

    def variables(self, user: str, names: Iterable[str]) -> dict[str, str]:
        """Return the variables of secrets together; where two have one name, the later secret's stands.

        Raises:
            Failed: code "not-found", for a secret that the user does not have.
        """
        found: dict[str, str] = {}
        for name in names:
            found |= self._read(user, name)["variables"]
        return found

    def _path(self, user: str, name: str) -> Path:
        if name_problem(name):
            raise Failed("not-found", name_problem(name), "`warmcell secret list` shows the names")
        return self._root / key_of(user) / name

    def _names(self, user: str) -> list[str]:
        with suppress(FileNotFoundError):
            return sorted(path.name for path in (self._root / key_of(user)).iterdir() if not path.name.startswith("."))
        return []

    def _absent(self, user: str, name: str) -> Failed:
        has = ", ".join(self._names(user))
        hint = f"you have {has}" if has else f"make it with `warmcell secret create {name} VARIABLE`"
        return Failed("not-found", f"there is no secret {name}", hint, {"secret": name})

    def _read(self, user: str, name: str) -> dict[str, Any]:
        from cryptography.fernet import InvalidToken

        path = self._path(user, name)
        try:
            return json.loads(self._cipher().decrypt(path.read_bytes()))
        except FileNotFoundError:
            raise self._absent(user, name) from None
        except (InvalidToken, ValueError) as error:
            hint = f"make it anew with `warmcell secret create {name} --overwrite`"
            what = f"the secret {name} cannot be decrypted: its key is another one"
            raise Failed("unavailable", what, hint) from error

    def _cipher(self) -> Fernet:
        from cryptography.fernet import Fernet  # takes a while to import, and most runtimes keep no secret

        try:
            key = self._key.read_bytes().strip()
        except FileNotFoundError:
            key = Fernet.generate_key()
            records.write_text(self._key, key.decode())
        if self._key.stat().st_mode & 0o077:
            os.chmod(self._key, 0o600)
        return Fernet(key)


def _info(name: str, made: Mapping[str, Any]) -> pb.SecretInfo:
    return pb.SecretInfo(name=name, variables=sorted(made["variables"]), created_at=made["created_at"])
