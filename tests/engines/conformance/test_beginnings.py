"""What every engine must do when a worker is started."""

from __future__ import annotations

import asyncio

import pytest

from remote_runtime.engines.base import CPU, Engine, Phase, Verdict, WorkerSpec
from remote_runtime.wire.failures import Failed
from tests.engines.conformance.rigs import Rig, Watcher, asked, ready


def test_a_ready_worker_answers_who_knows_its_secret(rig: Rig) -> None:
    async def body(engine: Engine) -> None:
        _, event = await ready(engine, "one")
        assert (await asked(event.address)).session_id == ""
        with pytest.raises(Failed):
            await asked(event.address, "wrong")

    rig.within(body)


def test_a_launch_that_is_asked_for_twice_is_one_worker(rig: Rig) -> None:
    async def body(engine: Engine) -> None:
        watcher, event = await ready(engine, "twice")
        await engine.launch(WorkerSpec("twice", "another secret"))
        await asyncio.sleep(0)
        assert watcher.phases("twice")[-2:] == [Phase.STARTING, Phase.READY]
        (status,) = await engine.list()
        assert (status.phase, status.address, dict(status.spec.labels)) == (Phase.READY, event.address, {"owner": "me"})
        assert status.pid == event.pid > 0

    rig.within(body)


def test_several_start_at_once(rig: Rig) -> None:
    async def body(engine: Engine) -> None:
        names = ["a", "b", "c"]
        watcher = Watcher(engine)
        await asyncio.gather(*(engine.launch(WorkerSpec(name, name)) for name in names))
        found = [await watcher.until(name, Phase.READY) for name in names]
        assert len({event.address for event in found}) == len({event.pid for event in found}) == 3
        assert {status.spec.worker_id for status in await engine.list()} == set(names)

    rig.within(body)


def test_whoever_watches_late_hears_first_where_everybody_stands(rig: Rig) -> None:
    async def body(engine: Engine) -> None:
        await ready(engine, "early")
        late = Watcher(engine)
        await late.until("early", Phase.READY)
        assert late.phases("early") == [Phase.READY]
        await engine.kill("early")
        assert (await late.until("early", Phase.EXITED)).exit is not None

    rig.within(body)


@pytest.mark.parametrize(
    ("devices", "expected"),
    [((), Verdict.OK), ((CPU,), Verdict.OK), (("sim-A100-1",), Verdict.OK), (("sim-B200-0",), Verdict.UNSATISFIABLE)],
)
def test_what_can_never_run_is_said_before_a_launch(rig: Rig, devices: tuple[str, ...], expected: Verdict) -> None:
    async def body(engine: Engine) -> None:
        assert await engine.check(WorkerSpec("asked", "s", devices)) is expected
        assert await engine.list() == []

    rig.within(body)


def test_devices_for_trial_and_the_processor_are_listed(rig: Rig) -> None:
    async def body(engine: Engine) -> None:
        found = [(device.id, device.simulated) for device in await engine.inventory() if device.simulated or device.id == CPU]
        assert found == [("sim-A100-0", True), ("sim-A100-1", True), (CPU, False)]

    rig.within(body)


def test_a_session_s_files_come_back_when_its_worker_has_ended(rig: Rig) -> None:
    directory = rig.home / "state" / "sessions" / "mine" / "files"

    async def body(engine: Engine) -> None:
        directory.mkdir(parents=True)
        (directory / "kept.txt").write_text("kept")
        watcher, _ = await ready(engine, "files")
        assert (await engine.enter("files", directory)).endswith("/files")
        await engine.kill("files")
        await watcher.until("files", Phase.EXITED)
        assert (directory / "kept.txt").read_text() == "kept"

    rig.within(body)


def test_a_worker_that_was_not_claimed_gives_the_files_back(rig: Rig) -> None:
    directory = rig.home / "state" / "sessions" / "refused" / "files"

    async def body(engine: Engine) -> None:
        directory.mkdir(parents=True)
        (directory / "kept.txt").write_text("kept")
        _, event = await ready(engine, "refused")
        await engine.enter("refused", directory)
        await engine.leave("refused")
        assert (directory / "kept.txt").read_text() == "kept"
        assert (await asked(event.address)).session_id == ""

    rig.within(body)


def test_what_could_not_start_has_a_log_and_leaves_nothing(rig: Rig) -> None:
    async def body(engine: Engine) -> None:
        with pytest.raises(Failed, match="longer than"):
            await engine.launch(WorkerSpec("x" * 120, "s"))
        assert await engine.list() == []
        assert isinstance(await engine.boot_log("x"), str)
        assert not rig.left()["files"]

    rig.within(body)
