"""The gateway's one store: SQLite, in one file, behind one thread. The only place that knows SQLite.

    statements -> write / note -> the store's thread -> one transaction        rows <- read

Writes are done in the order in which they were asked for. `write` says when it is done, and fails with a
sentence; `note` is for what no request depends on, and only logs a failure. WAL with synchronous=NORMAL: what was
committed outlives any death of the gateway; only a machine that loses power may lose the last moments.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from remote_runtime.gateway.schema import MIGRATIONS
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.versions import VERSION

_log = logging.getLogger(__name__)

T = TypeVar("T")
Statement = tuple[str, Sequence[Any] | Mapping[str, Any]]
"""SQL, and the values for its question marks or names."""

Row = tuple[Any, ...]

BUSY_S = 2.0
"""How long another program may hold the file before a request fails; only the store's thread waits."""

_KEPT = ("", "-wal", "-shm")
_WRITES_OF_A_STEP = "CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, at REAL, by TEXT)"


class StoreFailed(Failed):
    """The store could not do what a request needs; the request fails, and nothing else."""


class _Damaged(Exception):
    """The file is no store, or one with holes."""


class Store:
    """The gateway's memory; `open` comes first.

    Args:
        path: Its file; made where it is absent, for its owner alone.
        migrations: The steps that make its tables.

    Attributes:
        notice: What its user should know of how it was opened; "" when there is nothing.
    """

    def __init__(self, path: Path, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
        self.path, self.notice = path, ""
        self._migrations = migrations
        self._thread = ThreadPoolExecutor(1, "warmcell-store")
        self._connection: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open the file and bring its tables up to date; a damaged one is moved aside, and a new one begun.

        Raises:
            Failed: It was written by a newer warmcell, is locked, or cannot be read or written.
        """
        self._thread.submit(self._translated, self._open).result()

    def close(self) -> None:
        """Finish what was asked for, and let go of the file."""
        self._thread.submit(self._close).result()
        self._thread.shutdown()

    def write(self, *statements: Statement) -> asyncio.Future[None]:
        """Do statements in one transaction, all or none.

        Returns:
            Done when they are committed; a `Failed` where they are not. Whoever stops waiting stops nothing.
        """
        return asyncio.shield(asyncio.wrap_future(self._submit(lambda: self._write(statements))))

    def note(self, *statements: Statement) -> Future[None]:
        """Do statements in one transaction that no request depends on; a failure is logged."""
        done = self._submit(lambda: self._write(statements))
        done.add_done_callback(_log_failure)
        return done

    def read(self, sql: str, values: Sequence[Any] = ()) -> asyncio.Future[list[Row]]:
        """Return rows, as everything that was asked for before left them; fails like `write`."""
        return asyncio.wrap_future(self._submit(lambda: self._use().execute(sql, values).fetchall()))

    # ---- on the store's thread ----------------------------------------------------------------------------

    def _submit(self, work: Callable[[], T]) -> Future[T]:
        return self._thread.submit(self._translated, work)

    def _translated(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except (sqlite3.Error, OSError) as error:
            raise _failed(error, self.path) from error

    def _use(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.OperationalError("the store is not open")
        return self._connection

    def _write(self, statements: Sequence[Statement]) -> None:
        connection = self._use()
        connection.execute("BEGIN IMMEDIATE")
        try:
            for sql, values in statements:
                connection.execute(sql, values)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # a full disk may have rolled it back already
                connection.execute("ROLLBACK")
            raise

    def _open(self) -> None:
        try:
            self._connection = self._connected()
        except _Damaged as damage:
            aside = self._move_aside()
            self.notice = (
                f"the runtime's store {self.path} was damaged ({damage}); it was moved to {aside.name}, and a new one "
                "is begun: sessions that ran are no longer known, and end when their kernels let go of them"
            )
            _log.warning("%s", self.notice)
            self._connection = self._connected()

    def _connected(self) -> sqlite3.Connection:
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(self.path, BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            _require_whole(connection)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        """Take the steps that are missing, all in one transaction.

        Raises:
            Failed: The store has steps that this version does not know.
        """
        connection.execute("BEGIN IMMEDIATE")
        with closing(connection.cursor()) as cursor:
            cursor.execute(_WRITES_OF_A_STEP)
            (version,) = cursor.execute("SELECT COALESCE(MAX(version), 0) FROM migrations").fetchone()
            if version > len(self._migrations):
                connection.execute("ROLLBACK")
                raise _newer(self.path, version, len(self._migrations))
            for number, step in enumerate(self._migrations[version:], version + 1):
                for sql in step:
                    cursor.execute(sql)
                cursor.execute("INSERT INTO migrations VALUES (?, ?, ?)", (number, time.time(), VERSION))
        connection.execute("COMMIT")

    def _move_aside(self) -> Path:
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.damaged-{number}")).exists():
            number += 1
        for ending in _KEPT:
            part = Path(f"{self.path}{ending}")
            if part.exists():
                part.rename(f"{aside}{ending}")
        return aside

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _require_whole(connection: sqlite3.Connection) -> None:
    """Refuse a file that is damaged.

    Raises:
        _Damaged: With SQLite's words.
    """
    try:
        ((found, *_),) = connection.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.OperationalError:
        raise  # locked, or not to be read: the file may be whole
    except sqlite3.DatabaseError as error:
        raise _Damaged(error) from error
    if found != "ok":
        raise _Damaged(found)


def _failed(error: sqlite3.Error | OSError, path: Path) -> StoreFailed:
    """Return what an error means to whoever asked; SQLite's codes are not to be had before Python 3.11."""
    words, detail = str(error), {"path": str(path)}
    if "is full" in words:
        what, hint = "the disk is full", f"free some space on the disk that holds {path.parent}"
        return StoreFailed("disk-full", f"the runtime could not write {path}: {what}", hint, detail)
    if "is locked" in words:
        what, hint = "another program holds it", "close what has the file open, and run the cell again"
        return StoreFailed("unavailable", f"the runtime could not use {path} for {BUSY_S:g} s: {what}", hint, detail)
    if "I/O error" in words or "readonly" in words or "unable to open" in words or isinstance(error, OSError):
        hint = f"check the disk that holds {path.parent}, and who may write there"
        return StoreFailed("unavailable", f"the runtime could not use {path}: {words}", hint, detail)
    hint = "stop the runtime with `warmcell down`; a damaged store is moved aside when it starts again"
    return StoreFailed("internal", f"the runtime's store {path} failed: {words}", hint, detail)


def _newer(path: Path, version: int, known: int) -> Failed:
    return Failed(
        "unavailable",
        f"the store {path} was written by a newer warmcell (its version is {version}, this one knows {known})",
        "use that warmcell again, or another --state",
        {"path": str(path)},
    )


def _log_failure(done: Future[None]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        _log.warning("the store did not take a note: %s", error)
