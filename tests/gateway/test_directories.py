"""A session's files: found again under its name, kept for a while after its release, and then removed."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import time
from pathlib import Path

import pytest

from remote_runtime.gateway.directories import Directories, key_of, remove, steady
from tests.gateway.conftest import Play
from tests.gateway.rig import Rig, rig
from tests.gateway.running import Running

KEEP_S = 100.0


class Clock:
    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def directories(tmp_path: Path, clock: Clock) -> Directories:
    return Directories(tmp_path / "sessions", clock)


def swept(directories: Directories) -> int:
    """Sweep, remove, and count what was removed."""
    gone = directories.sweep(KEEP_S)
    for directory in gone:
        remove(directory)
    return len(gone)


def test_a_name_finds_its_files_again(directories: Directories) -> None:
    first = directories.take("nb")
    (first / "x").write_text("kept")
    directories.free("nb")
    assert (directories.take("nb") / "x").read_text() == "kept"
    assert not list(directories.take("other").iterdir())


@pytest.mark.parametrize("name", ["", "..", "../up", "a/b", "a b", "Ünï", ".hidden", "x" * 300, "a\0b", "A", "a"])
def test_every_name_has_a_directory_of_its_own_below_the_root(directories: Directories, tmp_path: Path, name: str) -> None:
    directory = directories.take(name)
    assert directory.resolve().parents[1] == (tmp_path / "sessions").resolve()
    assert directory != directories.take(name + "-")
    assert key_of("A") != key_of("a")


def test_files_go_when_their_time_is_over_and_not_before(directories: Directories, clock: Clock) -> None:
    (directories.take("nb") / "x").touch()
    clock.now += 10 * KEEP_S
    assert swept(directories) == 0  # a session holds them
    directories.free("nb")
    clock.now += KEEP_S - 1
    assert swept(directories) == 0
    clock.now += 1
    assert swept(directories) == 1
    assert not list(directories.take("nb").iterdir())


def test_opening_a_session_again_starts_the_time_anew(directories: Directories, clock: Clock) -> None:
    (directories.take("nb") / "x").touch()
    directories.free("nb")
    clock.now += KEEP_S
    directories.take("nb")
    assert swept(directories) == 0
    directories.free("nb")
    clock.now += KEEP_S - 1
    assert swept(directories) == 0


def test_the_next_gateway_counts_on(directories: Directories, tmp_path: Path, clock: Clock) -> None:
    (directories.take("released") / "x").touch()
    directories.free("released")
    (directories.take("held until the gateway died") / "x").touch()
    clock.now += KEEP_S / 2
    later = Directories(tmp_path / "sessions", clock)
    assert swept(later) == 0
    clock.now += KEEP_S / 2
    assert swept(later) == 1
    clock.now += KEEP_S / 2
    assert swept(later) == 1


def test_a_clock_gone_back_counts_anew(directories: Directories, clock: Clock) -> None:
    (directories.take("nb") / "x").touch()
    directories.free("nb")
    clock.now -= 5 * KEEP_S
    assert swept(directories) == 0
    clock.now += KEEP_S
    assert swept(directories) == 1


def test_what_holds_no_file_leaves_nothing(directories: Directories, tmp_path: Path) -> None:
    directories.take("nb")
    directories.free("nb")
    directories.free("never opened")
    assert not list((tmp_path / "sessions").iterdir())


def test_removing_follows_no_link_and_is_stopped_by_no_mode(directories: Directories, tmp_path: Path, clock: Clock) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    outside.chmod(0o755)
    files = directories.take("nb")
    (files / "link").symlink_to(outside)
    (files / "locked").mkdir()
    (files / "locked" / "x").touch()
    (files / "locked").chmod(0)
    directories.free("nb")
    (tmp_path / "sessions" / "planted").symlink_to(outside)
    clock.now += KEEP_S
    assert swept(directories) == 1
    assert os.listdir(outside) == ["precious"] and outside.stat().st_mode & 0o777 == 0o755
    assert os.listdir(tmp_path / "sessions") == ["planted"]


def test_care_removes_files_and_leaves_those_of_living_sessions(play: Play, tmp_path: Path) -> None:
    async def body(made: Rig) -> None:
        held, gone = (tmp_path / "sessions" / key_of(name) for name in ("held", "gone"))
        for directory in (held, gone):
            (directory / "files").mkdir(parents=True)
            (directory / "files" / "x").touch()
        await made.open("any", "held")
        await made.look(1)
        await made.look(1)
        while gone.exists() or any(p.name.startswith(".going") for p in gone.parent.iterdir()):
            await made.look(1)
        assert (held / "files" / "x").exists()

    play(body, files_keep_s=0.0)


def test_an_adopted_session_keeps_its_files(tmp_path: Path) -> None:
    async def body() -> None:
        async with rig(tmp_path) as first:
            await first.open("cpu", "kept")
            (tmp_path / "sessions" / key_of("kept") / "files" / "x").touch()
            first.unlock()  # as its death would
            async with rig(tmp_path, before=first, files_keep_s=0.0) as second:
                await second.look(1)
                assert (tmp_path / "sessions" / key_of("kept") / "files" / "x").exists()

    asyncio.run(body())


def test_files_outlive_a_release_and_a_gateway(gateway, home: Path) -> None:
    first: Running = gateway()
    first.attach(first.open("cpu", "nb")).run("r-1", "open('x', 'w').write('kept')")
    assert first.stop() == 0
    mark = json.loads((home / "state" / "sessions" / key_of("nb") / "released.json").read_text())
    assert mark["released_at"] > 0
    second: Running = gateway()
    again = second.open("cpu", "nb")
    assert again.fresh
    text, _ = second.attach(again).run("r-2", "print(open('x').read())")
    assert text == "kept\n"
    assert second.stop() == 0


def test_a_wall_clock_that_jumps_by_a_month_removes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert inspect.signature(Directories).parameters["clock"].default is steady
    directories = Directories(tmp_path / "sessions")
    (directories.take("one") / "note").write_text("kept")
    directories.free("one")
    now = time.time()
    for days in (30, -30, 60):
        monkeypatch.setattr(time, "time", lambda days=days: now + days * 86400)
        assert directories.sweep(7 * 86400) == []
    assert (directories.take("one") / "note").read_text() == "kept"
