"""What only the docker engine does: devices for good, starts that fail, images that go, strangers that pause."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote_runtime.engines import images
from remote_runtime.engines.base import Engine, Phase, Verdict, WorkerSpec
from remote_runtime.engines.docker import NOT_HELD
from remote_runtime.engines.docker_door import Door
from remote_runtime.engines.rooms import shipped
from remote_runtime.wire.failures import Failed
from tests.containers import engine as containers
from tests.engines.conformance.rigs import Rig, Watcher, asked, ready

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def rig() -> Iterator[Rig]:
    if containers.absent():
        pytest.skip(containers.absent())
    rig = Rig("docker", Path(tempfile.mkdtemp(prefix="wc-c")))
    yield rig
    rig.retire()
    left = containers.left_by(rig.home)
    shutil.rmtree(rig.home)
    assert left == []


def test_a_device_that_a_worker_has_is_nobody_else_s(rig: Rig) -> None:
    async def body(engine: Engine) -> None:
        watcher = Watcher(engine)
        await engine.launch(WorkerSpec("first", "s", ("sim-A100-0",)))
        await watcher.until("first", Phase.READY)
        assert await engine.check(WorkerSpec("second", "s", ("sim-A100-0",))) is Verdict.BUSY
        with pytest.raises(Failed, match="sim-A100-0 is another worker's"):
            await engine.launch(WorkerSpec("second", "s", ("sim-A100-0",)))
        with pytest.raises(Failed, match="sim-B200-0 is not there"):
            await engine.launch(WorkerSpec("third", "s", ("sim-B200-0",)))
        assert [s.spec.worker_id for s in await engine.list()] == ["first"]

    rig.within(body)


def test_a_container_that_runs_out_of_memory_says_so_with_its_limit(rig: Rig) -> None:
    async def body(engine: Engine) -> None:
        watcher = Watcher(engine)
        await engine.launch(WorkerSpec("small", "s"))
        how = (await watcher.until("small", Phase.EXITED)).exit
        assert how is not None
        assert (how.reason, how.detail) == ("memory", "its container passed the memory limit of 16 MiB (peak -)")

    rig.within(body, options={"memory": "16m"})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "unix:///nowhere/docker.sock"}, "no Docker engine answers"),
        ({"runtime": "no-such-runtime"}, "no-such-runtime"),
    ],
)
def test_a_start_that_cannot_be_is_refused_in_words_and_leaves_nothing(rig: Rig, options: dict[str, object], words: str) -> None:
    async def body(engine: Engine) -> None:
        with pytest.raises(Failed, match=words):
            await engine.launch(WorkerSpec("never", "s"))

    rig.within(body, options=options)
    assert not any(rig.left().values())


def test_a_warm_worker_that_a_stranger_pauses_is_replaced_and_a_session_waits(rig: Rig) -> None:
    async def body(engine: Engine) -> None:
        watcher, _ = await ready(engine, "warm")
        containers.docker("pause", containers.containers(rig.home)[0])
        await watcher.until("warm", Phase.EXITED)
        watcher, event = await ready(engine, "held")
        directory = rig.home / "state" / "sessions" / "s" / "files"
        directory.mkdir(parents=True)
        await engine.enter("held", directory)
        (name,) = containers.containers(rig.home)
        containers.docker("pause", name)
        await watcher.until("held", Phase.UNKNOWN)
        containers.docker("unpause", name)
        while watcher.phases("held")[-1] is not Phase.READY:
            await asyncio.sleep(0.01)
        assert (await asked(event.address)).session_id == ""

    rig.within(body)


def test_an_image_that_was_deleted_is_built_again(rig: Rig) -> None:
    async def body(engine: Engine) -> None:
        await ready(engine, "again")

    python = images.minor_version()
    recipe = images.recipe(python, "plain", images.pins_here(python))
    door = Door("", "trial")
    rig.within(body)
    tag = recipe.tag(door.image(next(base for base in recipe.bases if door.image(base))))
    containers.docker("rmi", "--no-prune", "-f", tag)
    assert door.image(tag) == ""
    rig.within(body)
    assert door.image(tag)
    door.close()


def test_a_step_of_a_build_that_fails_is_named_with_its_last_lines(tmp_path: Path) -> None:
    if containers.absent():
        pytest.skip(containers.absent())
    (tmp_path / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\nRUN echo so far; false\n")
    door = Door("", "trial")
    with pytest.raises(Failed, match=r"Step 3/3 : RUN echo so far; false failed") as caught:
        list(door.build(tmp_path, "warmcell-worker:fails", {"BASE": "warmcell-base:py3.11"}))
    assert "so far" in caught.value.detail["log"]
    door.close()


def test_the_table_has_each_python_that_the_project_runs_on() -> None:
    for python in ("3.10", "3.11", "3.12", "3.13"):
        assert images.recipe(python, "plain", {}).bases[0] == f"warmcell-base:py{python}"
    with pytest.raises(Failed, match="no image for python '2.7'"):
        images.recipe("2.7", "plain", {})
    assert "numpy==9.9" in images.recipe("3.11", "plain", {"numpy": "9.9"}).requirements


def test_a_worker_s_code_is_copied_once_and_holds_nothing_of_the_gateway(tmp_path: Path) -> None:
    place = shipped(tmp_path)
    assert shipped(tmp_path) == place
    assert sorted(p.name for p in (place / "remote_runtime").iterdir() if p.name != "__pycache__") == ["__init__.py", "wire", "worker"]
    assert [p for p in place.rglob("*.pyc") if "service" in p.name]


def test_the_docs_say_what_docker_does_not_hold() -> None:
    page = (ROOT / "docs" / "engines" / "docker.md").read_text()
    table = page[page.index("| what | in words |") :].split("\n\n")[0]
    rows = [tuple(cell.strip() for cell in line.split("|")[1:3]) for line in table.splitlines()]
    assert tuple(rows[2:]) == NOT_HELD
