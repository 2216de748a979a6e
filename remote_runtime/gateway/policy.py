"""What the admin allows, from one TOML file: directories that sessions may ask for, the model cache, device shares.

    [mounts]                     [cache]
    "/data" = "ro"               models = true
    "/scratch" = "rw"                [devices]
                                     lease_memory = "20GB"
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from remote_runtime.wire.failures import Failed
from remote_runtime.wire.targets import parse_share

FILE = "gateway.toml"
"""Its name in the state directory, where no other file is named."""

_TABLES = ("mounts", "cache", "devices")

MODES: Mapping[str, bool] = {"ro": False, "rw": True}
"""How a directory is listed -> whether it may be written."""


@dataclass(frozen=True)
class Policy:
    """What is allowed.

    Args:
        mounts: Directory of the host -> whether sessions may write it.
        has_model_cache: Whether sessions are shown a model cache of their user.
        lease_memory_bytes: Share of each device of a session that names none; None means all of it.
        file: Where it was read; "" where there is none.
    """

    mounts: Mapping[str, bool] = field(default_factory=dict)
    has_model_cache: bool = True
    lease_memory_bytes: int | None = None
    file: str = ""


def read_policy(state: Path, named: str = "") -> Policy:
    """Return what a file says; without one nothing is listed.

    Args:
        state: Directory where it lies unless another one is named.
        named: Path of the file, "" for the usual one, which may be absent.

    Raises:
        Failed: code "unavailable", where it cannot be read or does not say what it should.
    """
    path = Path(named).absolute() if named else state / FILE
    if not named and not path.exists():
        return Policy()
    try:
        written = _loads()(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _wrong(path, f"cannot be read: {error}", "check its path, or correct that line") from error
    return _policy(path, written)


def _policy(path: Path, written: Mapping[str, Any]) -> Policy:
    for table in written:
        if table not in _TABLES:
            known = ", ".join(f"[{name}]" for name in _TABLES)
            raise _wrong(path, f"has a table [{table}], which means nothing", f"the tables are {known}")
    mounts = {_directory(path, source): _mode(path, source, mode) for source, mode in _table(path, written, "mounts")}
    cache = dict(_table(path, written, "cache"))
    models = cache.pop("models", True)
    if cache or not isinstance(models, bool):
        raise _wrong(path, "has a table [cache] that is not understood", "write `models = true` or `models = false`")
    return Policy(mounts, models, _lease_memory(path, dict(_table(path, written, "devices"))), str(path))


def _lease_memory(path: Path, devices: dict[str, Any]) -> int | None:
    share = devices.pop("lease_memory", None)
    if devices:
        raise _wrong(path, f"sets {next(iter(devices))} in [devices]", "what is set there is `lease_memory`")
    try:
        return None if share is None else parse_share(str(share))
    except ValueError:
        hint = 'write it with its unit: `lease_memory = "20GB"`'
        raise _wrong(path, f"sets lease_memory to {share!r}", hint) from None


def _table(path: Path, written: Mapping[str, Any], name: str) -> list[tuple[str, Any]]:
    found = written.get(name, {})
    if not isinstance(found, dict):
        raise _wrong(path, f"sets {name} to {found!r}, which is no table", f"begin it with a line [{name}]")
    return list(found.items())


def _directory(path: Path, source: str) -> str:
    if not os.path.isabs(source) or ".." in Path(source).parts:
        raise _wrong(path, f"lists the mount {source!r}", "list directories by their whole paths, without `..`")
    return os.path.normpath(source)


def _mode(path: Path, source: str, mode: Any) -> bool:
    if mode not in MODES:
        raise _wrong(path, f"lists {source!r} as {mode!r}", f'write `"{source}" = "ro"` or `"{source}" = "rw"`')
    return MODES[mode]


def _wrong(path: Path, what: str, hint: str) -> Failed:
    return Failed("unavailable", f"the configuration {path} {what}", hint, {"path": str(path)})


def _loads() -> Any:
    for module in ("tomllib", "tomli"):  # Python 3.10 has no tomllib
        try:
            return importlib.import_module(module).loads
        except ModuleNotFoundError:
            continue
    raise Failed("unavailable", "this Python has no TOML reader", "install tomli, or use Python 3.11 or later")
