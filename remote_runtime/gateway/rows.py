"""What is written into the store, and read from it, in the words of the gateway. Pure: values -> statements.

    SessionRecord, Place, RunInfo, totals -> statements -> Store        rows -> SessionRecord, Place, Ended
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from remote_runtime.engines.base import Device
from remote_runtime.engines.records import Facts
from remote_runtime.gateway.store import Row, Statement, Store
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.specs import OWN, Environment, environment_from

LEAST_S = 1e-3
"""Less than this is not worth a row of usage."""


@dataclass(frozen=True)
class SessionRecord:
    """A session as it is written down.

    Args:
        session_id: Of this life of the session.
        name: What users call it.
        notebook: Who opened it first.
        target: As it was asked for.
        user: Whose token opened it.
        token: What a client shows to the worker.
        worker_id: The worker that holds it.
        incarnation: At the claim.
        devices: That it holds.
        directory: Its working directory.
        idle_s: Its policy; 0 means that it stays until somebody waits.
        opened_at: Seconds since the epoch.
        environment: What its worker is made with.
        share_bytes: Of each device's memory, what it means to take; None means all of it.
    """

    session_id: str
    name: str
    notebook: str
    target: str
    user: str
    token: str = field(repr=False)
    worker_id: str
    incarnation: int
    devices: tuple[Device, ...]
    directory: str
    idle_s: float = 0.0
    opened_at: float = 0.0
    environment: Environment = OWN
    share_bytes: int | None = None


@dataclass(frozen=True)
class Place:
    """Somebody's place in the queue, as it is written down.

    Args:
        ticket: What brings the place back.
        arrived: Smaller numbers came first.
        name: Of the session to be.
        target: As it was asked for.
        notebook: Whose.
        user: Whose token.
        since_at: Seconds since the epoch.
    """

    ticket: str
    arrived: int
    name: str
    target: str
    notebook: str
    user: str
    since_at: float = 0.0


@dataclass(frozen=True)
class Ended:
    """A session that is over.

    Args:
        reason: One word for `ExitReply.reason`.
        detail: A sentence for people.
        held_s: From claim to end; None where nobody saw it.
        user: Whose it was.
    """

    reason: str
    detail: str
    held_s: float | None = None
    user: str = ""


# ---- sessions --------------------------------------------------------------------------------------------

_SESSION = (
    "session_id", "name", "notebook", "target", "user", "token", "worker_id", "incarnation", "devices", "directory",
    "idle_s", "opened_at", "environment", "share_bytes",
)  # fmt: skip

LIVING = f"SELECT {', '.join(_SESSION)} FROM sessions WHERE released_at IS NULL ORDER BY opened_at"
PAST = """SELECT session_id, name, target, user, reason, detail, held_s FROM sessions
    WHERE released_at IS NOT NULL ORDER BY released_at DESC LIMIT ?"""


def session_began(record: SessionRecord) -> list[Statement]:
    """Write a session down; whoever waited for it waits no more."""
    values = {**asdict(record), "devices": json.dumps([asdict(device) for device in record.devices])}
    values["environment"] = json.dumps(record.environment.facts if record.environment != OWN else {})
    marks = ", ".join("?" * len(_SESSION))
    insert = f"INSERT INTO sessions ({', '.join(_SESSION)}) VALUES ({marks})"
    return [(insert, [values[column] for column in _SESSION]), left_queue(record.session_id)]


def session_of(row: Row) -> SessionRecord:
    """Read a row of `LIVING`."""
    values = dict(zip(_SESSION, row, strict=True))
    devices = tuple(Device(**device) for device in json.loads(values.pop("devices")))
    made_with = environment_from(json.loads(values.pop("environment")))
    return SessionRecord(**values, devices=devices, environment=made_with)


def session_never_was(session_id: str) -> Statement:
    """Take back a session that no worker was claimed for."""
    return "DELETE FROM sessions WHERE session_id = ?", (session_id,)


def session_ended(session_id: str, ended: Ended) -> list[Statement]:
    """Write a session's end down, and that of the runs that it still had; a second end changes nothing."""
    over = "cancelled" if ended.reason in ("stopped", "lease") else "died"
    return [
        (
            """UPDATE sessions SET token = '', released_at = ?, reason = ?, detail = ?, held_s = ?
                WHERE session_id = ? AND released_at IS NULL""",
            (time.time(), ended.reason, ended.detail, ended.held_s, session_id),
        ),
        ("UPDATE runs SET state = ? WHERE session_id = ? AND state IN ('queued', 'running')", (over, session_id)),
        ("UPDATE runs SET log = NULL WHERE session_id = ? AND log IS NOT NULL", (session_id,)),
    ]


# ---- queue -----------------------------------------------------------------------------------------------

_PLACE = ("ticket", "arrived", "name", "target", "notebook", "user", "since_at")
PLACES = f"SELECT {', '.join(_PLACE)} FROM queue ORDER BY arrived"


def joined_queue(place: Place) -> Statement:
    """Write a place in the queue down; one that is taken up again keeps what it was."""
    insert = f"INSERT OR IGNORE INTO queue ({', '.join(_PLACE)}) VALUES (?, ?, ?, ?, ?, ?, ?)"
    return insert, [getattr(place, column) for column in _PLACE]


def left_queue(ticket: str) -> Statement:
    """Give up a place in the queue."""
    return "DELETE FROM queue WHERE ticket = ?", (ticket,)


# ---- runs ------------------------------------------------------------------------------------------------


def run_told(session_id: str, log: str, run: pb.RunInfo) -> Statement:
    """Write down what a keeper tells of a run.

    Args:
        session_id: Whose run.
        log: Address of the keeper that holds its events.
        run: As told.
    """
    facts = (run.label, run.state, run.background, run.started_at, run.elapsed_s, run.event_count, log)
    return (
        """INSERT INTO runs (session_id, run_id, label, state, background, started_at, elapsed_s, event_count, log)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (session_id, run_id) DO UPDATE SET label = excluded.label, state = excluded.state,
                started_at = excluded.started_at, elapsed_s = excluded.elapsed_s, event_count = excluded.event_count""",
        (session_id, run.run_id, *facts),
    )


def run_forgotten(session_id: str, run_id: str) -> Statement:
    """Note that the keeper holds a run's events no more."""
    return "UPDATE runs SET log = NULL WHERE session_id = ? AND run_id = ?", (session_id, run_id)


# ---- usage -----------------------------------------------------------------------------------------------

WAITED = "SELECT COALESCE(SUM(seconds), 0.0) FROM usage WHERE lease = ? AND phase = 'waiting'"
_USED = """INSERT INTO usage (lease, phase, device, user, seconds, at)
    SELECT :lease, :phase, :device, :user, :total_s - written_s, :at FROM
        (SELECT COALESCE(SUM(seconds), 0.0) AS written_s FROM usage
            WHERE lease = :lease AND phase = :phase AND device = :device)
    WHERE :total_s - written_s > :least_s"""


def used(lease: str, user: str, totals: Mapping[tuple[str, tuple[str, ...]], float]) -> list[Statement]:
    """Add rows up to what a lease has used in total: said twice, or by two gateways, it is written once.

    Args:
        lease: Whose.
        user: Who pays.
        totals: Phase and devices -> seconds since the lease began; a row for each device, or one for none.
    """
    same = {"lease": lease, "user": user, "at": time.time(), "least_s": LEAST_S}
    return [
        (_USED, {**same, "phase": phase, "device": device, "total_s": total_s})
        for (phase, devices), total_s in totals.items()
        for device in devices or ("",)
    ]


# ---- workers ---------------------------------------------------------------------------------------------


class WorkerTable:
    """The engine's records, in the store; see `WorkerRecords`.

    Args:
        store: Open when it is first asked.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def write(self, worker_id: str, facts: Facts) -> None:
        """See `WorkerRecords`."""
        await self._store.write(worker_known(worker_id, facts))

    def remove(self, worker_id: str) -> None:
        """See `WorkerRecords`."""
        self._store.note(("DELETE FROM workers WHERE worker_id = ?", (worker_id,)))

    async def all(self) -> Mapping[str, Facts]:
        """See `WorkerRecords`."""
        rows = await self._store.read("SELECT worker_id, facts FROM workers ORDER BY rowid")
        return {worker_id: _facts(text) for worker_id, text in rows}


def workers_forgotten() -> Statement:
    """Return the statement that forgets every worker, and ends none."""
    return "DELETE FROM workers", ()


def worker_known(worker_id: str, facts: Facts) -> Statement:
    """Replace what is known of a worker."""
    return "INSERT OR REPLACE INTO workers VALUES (?, ?)", (worker_id, json.dumps(dict(facts)))


def _facts(text: str) -> dict[str, Any]:
    return json.loads(text)
