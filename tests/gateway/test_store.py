"""The store: whole or not at all, brought up to date, moved aside when damaged, clear when it cannot write."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from remote_runtime.gateway import store as store_module
from remote_runtime.gateway.schema import MIGRATIONS
from remote_runtime.gateway.store import Store, StoreFailed
from tests.gateway.running import ROOT

NOTE = "INSERT INTO notes VALUES (?)"
STEPS = [["CREATE TABLE notes (text TEXT NOT NULL)"], ["ALTER TABLE notes ADD COLUMN author TEXT DEFAULT 'nobody'"]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def opened() -> Iterator[Callable[..., Store]]:
    stores: list[Store] = []

    def open_store(path: Path, steps: list[list[str]] = STEPS[:1]) -> Store:
        stores.append(Store(path, steps))
        stores[-1].open()
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


def within(body: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(body(), 20))  # type: ignore[arg-type]


def beside(path: Path, sql: str) -> list[tuple]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def test_what_was_written_is_there_for_the_next_and_for_its_owner_alone(path: Path, opened: Callable) -> None:
    async def body() -> None:
        await opened(path).write((NOTE, ("one",)), (NOTE, ("two",)))

    within(body)
    assert beside(path, "SELECT text FROM notes") == [("one",), ("two",)]
    assert {stat.S_IMODE(part.stat().st_mode) for part in path.parent.glob("store.db*")} == {0o600}


def test_a_transaction_is_whole_or_not_there(path: Path, opened: Callable) -> None:
    async def body() -> None:
        store = opened(path)
        with pytest.raises(StoreFailed, match="NOT NULL constraint failed"):
            await store.write((NOTE, ("one",)), (NOTE, (None,)))
        await store.write((NOTE, ("later",)))
        assert await store.read("SELECT text FROM notes") == [("later",)]

    within(body)


def test_one_who_stops_waiting_stops_nothing(path: Path, opened: Callable) -> None:
    async def body() -> None:
        store = opened(path)
        waiting = asyncio.ensure_future(store.write((NOTE, ("kept",))))
        waiting.cancel()
        assert await store.read("SELECT text FROM notes") == [("kept",)]

    within(body)


def test_writes_keep_their_order(path: Path, opened: Callable) -> None:
    async def body() -> None:
        store = opened(path)
        for number in range(200):
            store.note((NOTE, (str(number),)))
        assert [int(text) for (text,) in await store.read("SELECT text FROM notes ORDER BY rowid")] == [*range(200)]

    within(body)


def test_an_older_store_is_brought_up_to_date_once(path: Path, opened: Callable) -> None:
    async def body() -> None:
        old = opened(path)
        await old.write((NOTE, ("old",)))
        for _ in range(2):
            store = opened(path, STEPS)
            assert await store.read("SELECT text, author FROM notes") == [("old", "nobody")]
            assert await store.read("SELECT version FROM migrations") == [(1,), (2,)]

    within(body)


def test_a_step_that_fails_leaves_the_old_version(path: Path, opened: Callable) -> None:
    opened(path)
    with pytest.raises(StoreFailed):
        opened(path, [STEPS[0], ["ALTER TABLE notes ADD COLUMN a TEXT", "ALTER TABLE absent ADD COLUMN a TEXT"]])
    assert beside(path, "SELECT MAX(version) FROM migrations") == [(1,)]
    assert [row[1] for row in beside(path, "PRAGMA table_info(notes)")] == ["text"]


def test_a_store_of_a_newer_version_is_refused_and_left_alone(path: Path, opened: Callable) -> None:
    opened(path, STEPS)
    with pytest.raises(Exception, match=r"written by a newer warmcell \(its version is 2, this one knows 1\)") as caught:
        opened(path)
    assert "\nhint: use that warmcell again" in str(caught.value)
    assert beside(path, "SELECT MAX(version) FROM migrations") == [(2,)]


@pytest.mark.parametrize("damage", ["all", "inside", "cut"])
def test_a_damaged_file_is_moved_aside_and_a_new_one_begun(path: Path, opened: Callable, damage: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE filler (text TEXT)")
        connection.executemany("INSERT INTO filler VALUES (?)", [("x" * 1000,) for _ in range(50)])
        connection.commit()
    whole = path.read_bytes()
    inside = whole[:4096] + b"\xff" * 8192 + whole[4096 + 8192 :]
    broken = {"all": b"no store at all" * 100, "inside": inside, "cut": whole[: len(whole) // 2]}[damage]
    path.write_bytes(broken)
    store = opened(path)
    assert "was damaged" in store.notice and "moved to store.db.damaged-1" in store.notice
    assert path.with_name("store.db.damaged-1").read_bytes() == broken
    assert beside(path, "SELECT COUNT(*) FROM notes") == [(0,)]


def test_a_store_that_another_program_holds_costs_one_request(
    path: Path, opened: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "BUSY_S", 0.05)

    async def body() -> None:
        store = opened(path)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(StoreFailed, match="another program holds it") as caught:
                await store.write((NOTE, ("lost",)))
            assert caught.value.code == "unavailable" and caught.value.hint
        await store.write((NOTE, ("kept",)))
        assert await store.read("SELECT text FROM notes") == [("kept",)]

    within(body)


FILLS_THE_DISK = """
import asyncio, resource, signal, sys
from pathlib import Path
from remote_runtime.gateway.store import Store, StoreFailed
async def main():
    store = Store(Path(sys.argv[1]), [["CREATE TABLE notes (text TEXT)"]])
    store.open()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    try:
        await store.write(("INSERT INTO notes VALUES (?)", ("x" * 1_000_000,)))
    except StoreFailed as failure:
        print(failure.code, failure)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.write(("INSERT INTO notes VALUES ('kept')", ()))
    print(await store.read("SELECT text FROM notes"))
    store.close()
asyncio.run(main())
"""


def test_a_file_that_cannot_grow_costs_one_request(path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    command = [sys.executable, "-c", FILLS_THE_DISK, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=30)
    first, hint, rest = done.stdout.splitlines()
    assert f"the runtime could not use {path}" in first or f"could not write {path}" in first, done.stderr
    assert hint.startswith("hint: ")
    assert rest == "[('kept',)]"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], capture_output=True).returncode:
        pytest.skip("a small disk needs the right to mount one")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_costs_one_request(small_disk: Path) -> None:
    async def body() -> None:
        store = Store(small_disk / "store.db", STEPS[:1])
        store.open()
        with pytest.raises(StoreFailed, match=r"could not write .*: the disk is full") as caught:
            await store.write((NOTE, ("x" * 5_000_000,)))
        assert caught.value.code == "disk-full"
        await store.write((NOTE, ("kept",)))
        assert await store.read("SELECT text FROM notes") == [("kept",)]
        store.close()

    within(body)


def test_usage_can_only_be_added_to(path: Path, opened: Callable) -> None:
    async def body() -> None:
        store = opened(path, MIGRATIONS)
        row = "INSERT INTO usage (lease, phase, device, user, seconds, at) VALUES ('s', ?, 'd', 'u', ?, 0)"
        await store.write((row, ("idle", 3.0)))
        for sql in ("UPDATE usage SET seconds = 1", "DELETE FROM usage"):
            with pytest.raises(StoreFailed, match="usage rows are only added"):
                await store.write((sql, ()))
        for values in (("idle", -1.0), ("idle", 0.0), ("asleep", 1.0)):
            with pytest.raises(StoreFailed, match="CHECK constraint failed"):
                await store.write((row, values))
        assert await store.read("SELECT phase, seconds FROM usage") == [("idle", 3.0)]

    within(body)
