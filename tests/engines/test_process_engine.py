"""Real zygotes, real keepers: workers start, are watched, end, and are found again by the next engine."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from remote_runtime.engines import pids
from remote_runtime.engines.base import EngineSettings, Exit, Phase, Verdict, WorkerEvent, WorkerSpec
from remote_runtime.engines.process import ProcessEngine
from remote_runtime.engines.records import MemoryRecords
from remote_runtime.engines.zygote import place
from remote_runtime.wire.failures import Failed
from tests.leftovers import processes_naming

Body = Callable[[ProcessEngine], Awaitable[None]]


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="wc-e"))
    yield path
    for start in ("auto", "fork", "spawn"):
        asyncio.run(ProcessEngine(settings(path, start=start)).retire())
    assert not processes_naming(str(path))
    shutil.rmtree(path)


RECORDS: dict[Path, MemoryRecords] = {}
"""What outlives an engine, as the gateway's store does."""


def settings(home: Path, **more: object) -> EngineSettings:
    for part in ("state", "run"):
        (home / part).mkdir(exist_ok=True)
    kept = RECORDS.setdefault(home, MemoryRecords())
    return EngineSettings(home / "state", home / "run", **{"simulate": "A100", "records": kept, **more})


def within(home: Path, body: Body, **more: object) -> None:
    async def run() -> None:
        engine = ProcessEngine(settings(home, **more))
        engine.prepare()
        try:
            await asyncio.wait_for(body(engine), 30)
        finally:
            for status in await engine.list():
                await engine.kill(status.spec.worker_id)
            await engine.close()

    asyncio.run(run())


class Watcher:
    """What `watch` told so far."""

    def __init__(self, engine: ProcessEngine) -> None:
        self.events: list[WorkerEvent] = []
        self.ended = False
        self._new = asyncio.Event()
        self._task = asyncio.ensure_future(self._follow(engine))

    async def _follow(self, engine: ProcessEngine) -> None:
        async for event in engine.watch():
            self.events.append(event)
            self._new.set()
        self.ended = True

    async def until(self, worker_id: str, phase: Phase) -> WorkerEvent:
        while not (found := [e for e in self.events if (e.worker_id, e.phase) == (worker_id, phase)]):
            self._new.clear()
            await self._new.wait()
        return found[0]


async def ready(engine: ProcessEngine, worker_id: str) -> tuple[Watcher, WorkerEvent]:
    watcher = Watcher(engine)
    await asyncio.sleep(0)
    await engine.launch(WorkerSpec(worker_id, "secret", labels={"owner": "me"}))
    return watcher, await watcher.until(worker_id, Phase.READY)


def test_a_worker_starts_and_is_launched_only_once(home: Path) -> None:
    async def body(engine: ProcessEngine) -> None:
        watcher, event = await ready(engine, "one")
        await engine.launch(WorkerSpec("one", "secret"))
        assert [e.phase for e in watcher.events] == [Phase.STARTING, Phase.READY]
        assert event.address == f"unix:{home}/run/w-one.sock"
        (status,) = await engine.list()
        assert (status.spec.labels, status.pid) == ({"owner": "me"}, event.pid)
        assert pids.mark(event.pid)

    within(home, body)


@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.parametrize(
    ("verb", "expected"), [("stop", Exit("stopped", 0)), ("kill", Exit("killed", None, 9)), ("", Exit("killed", None, 9))]
)
def test_an_end_is_told_with_its_reason_and_leaves_no_file(home: Path, verb: str, expected: Exit, start: str) -> None:
    name = f"ends-{verb}"

    async def body(engine: ProcessEngine) -> None:
        watcher, event = await ready(engine, name)
        if verb == "stop":
            await engine.stop(name, 10)
        elif verb == "kill":
            await engine.kill(name)
        else:
            os.kill(event.pid, signal.SIGKILL)
        told = (await watcher.until(name, Phase.EXITED)).exit
        assert told.reason == expected.reason
        assert (told.code, told.signal) in ((expected.code, expected.signal), (None, None))
        assert not list(home.rglob(f"*{name}*"))
        assert not await engine.list()
        await engine.stop(name, 1)
        await engine.kill(name)
        assert engine.starting is not None and engine.starting.mode == start

    within(home, body, start=start)


def test_the_next_engine_adopts_and_sees_the_end(home: Path) -> None:
    found: list[int] = []

    async def first(engine: ProcessEngine) -> None:
        _, event = await ready(engine, "kept")
        found.append(event.pid)
        engine.list = lambda: asyncio.sleep(0, [])  # type: ignore[method-assign]

    async def second(engine: ProcessEngine) -> None:
        (status,) = await engine.list()
        assert (status.spec.worker_id, status.spec.secret, status.phase) == ("kept", "secret", Phase.READY)
        assert status.pid == found[0]
        watcher = Watcher(engine)
        os.kill(status.pid, signal.SIGKILL)
        assert (await watcher.until("kept", Phase.EXITED)).exit == Exit("unknown")

    within(home, first)
    within(home, second)


def test_a_zygote_that_dies_is_replaced_and_its_keepers_are_kept(home: Path) -> None:
    async def body(engine: ProcessEngine) -> None:
        watcher, event = await ready(engine, "before")
        old = (await engine._zygotes.own.hello())["pid"]
        os.kill(old, signal.SIGKILL)
        while not await said_hello(engine, old):
            await asyncio.sleep(0.01)
        _, after = await ready(engine, "after")
        assert pids.mark(after.pid)
        assert pids.mark(event.pid)
        assert {s.spec.worker_id for s in await engine.list()} == {"before", "after"}

    within(home, body)


async def said_hello(engine: ProcessEngine, old: int) -> bool:
    with suppress(Failed):
        return (await engine._zygotes.own.hello())["pid"] != old
    return False


def test_records_of_workers_that_are_gone_are_removed(home: Path) -> None:
    async def body(engine: ProcessEngine) -> None:
        kept = engine.settings.records
        await kept.write("ghost", {"pid": 1, "start_ticks": 5, "socket": f"{home}/run/w-ghost.sock", "secret": "s"})
        await kept.write("unborn", {"pid": 0, "start_ticks": 0, "socket": f"{home}/run/w-unborn.sock", "secret": "s"})
        assert await engine.list() == []
        assert await kept.all() == {}

    within(home, body)


def test_a_zygote_that_cannot_start_is_an_error_with_its_last_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remote_runtime.engines.zygote.MODULE", "no_such_worker")

    async def body(engine: ProcessEngine) -> None:
        with pytest.raises(Failed, match="ended with code 1: .*No module named no_such_worker") as caught:
            await engine.launch(WorkerSpec("never", "secret"))
        assert caught.value.code == "unavailable"
        assert not list(home.rglob("*never*"))

    within(home, body, imports=("other_place",))


def test_a_socket_path_that_is_too_long_is_refused(home: Path) -> None:
    async def body(engine: ProcessEngine) -> None:
        with pytest.raises(Failed, match="longer than 107 bytes"):
            await engine.launch(WorkerSpec("w" * 100, "secret"))

    within(home, body)


def test_check_compares_with_the_inventory(home: Path) -> None:
    async def body(engine: ProcessEngine) -> None:
        assert await engine.check(WorkerSpec("w", "s", ("sim-A100-0", "cpu"))) is Verdict.OK
        assert await engine.check(WorkerSpec("w", "s", ("GPU-absent",))) is Verdict.UNSATISFIABLE
        assert engine.describe().late_devices

    within(home, body)


def test_watching_ends_when_the_engine_is_closed(home: Path) -> None:
    async def body(engine: ProcessEngine) -> None:
        watcher = Watcher(engine)
        await asyncio.sleep(0)
        await engine.close()
        await asyncio.wait_for(watcher._task, 5)
        assert watcher.ended

    within(home, body)


def test_another_list_of_imports_has_another_zygote(home: Path) -> None:
    assert place(settings(home)) == place(settings(home))
    assert place(settings(home)) != place(settings(home, imports=("numpy",)))


def test_a_worker_inherits_no_secret(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "hidden-from-workers")
    monkeypatch.setenv("WARMCELL_TOKEN", "hidden-too")

    async def body(engine: ProcessEngine) -> None:
        _, event = await ready(engine, "clean")
        shown = Path(f"/proc/{event.pid}/environ").read_bytes()
        assert b"hidden" not in shown
        assert b"PATH=" in shown

    within(home, body, imports=("fractions",))
    asyncio.run(ProcessEngine(settings(home, imports=("fractions",))).retire())
