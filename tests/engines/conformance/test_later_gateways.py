"""What every engine must find again after its gateway died, and what it must leave alone."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from pathlib import Path

from remote_runtime.engines import pids
from remote_runtime.engines.base import Engine, Phase
from tests.engines.conformance.rigs import Rig, Watcher, asked, ready, send


async def left_by(rig: Rig, name: str) -> tuple[str, int]:
    """Start a worker by a gateway that then ends, and return its address and pid."""
    engine = rig.engine()
    _, event = await ready(engine, name)
    await engine.close()
    return event.address, event.pid


def test_a_later_gateway_adopts_what_runs(rig: Rig) -> None:
    address, pid = asyncio.run(left_by(rig, "adopted"))

    async def body(engine: Engine) -> None:
        (status,) = await engine.list()
        assert (status.spec.worker_id, status.phase, status.address) == ("adopted", Phase.READY, address)
        assert (status.pid, status.spec.secret, dict(status.spec.labels)) == (pid, "of-the-worker", {"owner": "me"})
        assert (await asked(status.address)).session_id == ""
        watcher = Watcher(engine)
        await engine.stop("adopted", 10)
        assert (await watcher.until("adopted", Phase.EXITED)).exit.reason == "stopped"  # type: ignore[union-attr]

    rig.within(body)
    assert not any(rig.left().values())


def test_an_adopted_worker_s_end_is_seen(rig: Rig) -> None:
    asyncio.run(left_by(rig, "watched"))

    async def body(engine: Engine) -> None:
        (status,) = await engine.list()
        watcher = Watcher(engine)
        await asyncio.sleep(0)
        send(status.pid, signal.SIGKILL)
        assert (await watcher.until("watched", Phase.EXITED)).exit is not None

    rig.within(body)


def test_what_ended_while_nobody_watched_is_removed(rig: Rig) -> None:
    _, pid = asyncio.run(left_by(rig, "leftover"))
    mark = pids.mark(pid)
    send(pid, signal.SIGKILL)

    async def body(engine: Engine) -> None:
        assert mark is None or await pids.ended(mark, 10)
        assert await engine.list() == []

    rig.within(body)
    assert not any(rig.left().values())


def test_another_installation_s_workers_are_left_alone(rig: Rig) -> None:
    asyncio.run(left_by(rig, "theirs"))
    other = Rig(rig.name, Path(tempfile.mkdtemp(prefix="wc-c")))

    async def stranger(engine: Engine) -> None:
        assert await engine.list() == []
        await engine.kill("theirs")

    async def owner(engine: Engine) -> None:
        (status,) = await engine.list()
        assert (await asked(status.address)).session_id == ""

    other.within(stranger)
    rig.within(owner)
    other.retire()
    shutil.rmtree(other.home)


def test_a_session_s_files_come_back_though_its_worker_ended_unseen(rig: Rig) -> None:
    directory = rig.home / "state" / "sessions" / "unseen" / "files"
    directory.mkdir(parents=True)
    (directory / "kept.txt").write_text("kept")

    async def dies() -> int:
        engine = rig.engine()
        _, event = await ready(engine, "unseen")
        await engine.enter("unseen", directory)
        await engine.close()
        return event.pid

    pid = asyncio.run(dies())
    mark = pids.mark(pid)
    send(pid, signal.SIGKILL)

    async def body(engine: Engine) -> None:
        assert mark is None or await pids.ended(mark, 10)
        assert await engine.list() == []
        assert (directory / "kept.txt").read_text() == "kept"

    rig.within(body)
