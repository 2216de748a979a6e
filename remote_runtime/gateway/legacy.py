"""What a gateway older than the store has left: its JSON records are read once, moved into the store, and removed.

leases/ID.json, workers/ID.json -> statements -> one transaction -> files removed
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from remote_runtime.engines import records
from remote_runtime.engines.base import Device
from remote_runtime.gateway import rows
from remote_runtime.gateway.rows import SessionRecord
from remote_runtime.gateway.store import Statement, Store

_DIRECTORIES = ("leases", "workers")


async def move(state: Path, store: Store, user: str) -> None:
    """Move old records into the store; done twice it changes nothing, and damaged ones are removed.

    Args:
        state: The state directory.
        store: Open already.
        user: Whose the sessions are.

    Raises:
        StoreFailed: They could not be written; nothing was removed.
    """
    if not any((state / name).is_dir() for name in _DIRECTORIES):
        return
    leases, workers = (records.read_all(state / name) for name in _DIRECTORIES)
    sessions = list(_sessions(state, leases, user))
    known = {record.session_id for record in map(rows.session_of, await store.read(rows.LIVING))}
    new = [one for one in sessions if one.session_id not in known]
    statements: list[Statement] = [s for one in new for s in rows.session_began(one)]
    statements += [rows.worker_known(worker_id, facts) for worker_id, facts in workers.items()]
    await store.write(*statements)
    for name in _DIRECTORIES:
        _remove(state / name)


def _sessions(state: Path, leases: Mapping[str, dict[str, Any]], user: str) -> Iterator[SessionRecord]:
    for session_id, old in leases.items():
        directory = str(state / "sessions" / session_id)
        with suppress(TypeError, KeyError):  # damaged: its worker ends by itself
            devices = tuple(Device(**device) for device in old.pop("devices"))
            yield SessionRecord(**old, user=user, directory=directory, devices=devices)


def _remove(directory: Path) -> None:
    for path in directory.glob("*.json"):
        records.remove(path)
    with suppress(OSError):  # somebody else's file in it stays
        directory.rmdir()
