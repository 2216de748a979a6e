"""The pool suite: workers in containers, warm, paused, cold, and the road into one, beside processes."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks import cells, lifecycle
from benchmarks.timing import once_s, spread
from remote_runtime.engines import hardening, images
from remote_runtime.engines.base import Engine, EngineSettings, Phase, WorkerSpec
from remote_runtime.engines.docker import DockerEngine
from remote_runtime.engines.docker_door import Door
from remote_runtime.engines.docker_site import Site
from remote_runtime.engines.line import listens
from remote_runtime.gateway.relay import Keepers, Peer
from remote_runtime.wire import messages_pb2 as pb

Say = Callable[[str], None]
SERVE = "import socket; s = socket.socket(socket.AF_UNIX); s.bind('/run/warmcell/k.sock'); s.listen(); s.accept()"
IMPORTS = {"plain": (), "torch": ("torch",)}


def _images() -> list[str]:
    """Return the variants whose image the engine has; one with torch is built by hand, because it takes minutes."""
    door, python = Door("", "benchmark"), images.minor_version()
    found = []
    for variant in IMPORTS:
        recipe = images.recipe(python, variant, images.pins_here(python))
        base = next((name for name in recipe.bases if door.image(name)), "")
        if variant == "plain" or (base and door.image(recipe.tag(door.image(base)))):
            found.append(variant)
    door.close()
    return found


@contextmanager
def _settings(variant: str) -> Iterator[EngineSettings]:
    with tempfile.TemporaryDirectory(prefix="wc-b") as home:
        for part in ("state", "run"):
            Path(home, part).mkdir()
        yield EngineSettings(Path(home, "state"), Path(home, "run"), IMPORTS[variant], options={"variant": variant})


async def _within(settings: EngineSettings, body: Callable[[Engine], object]) -> object:
    engine = DockerEngine(settings)
    try:
        return await body(engine)  # type: ignore[misc]
    finally:
        for status in await engine.list():
            await engine.kill(status.spec.worker_id)
        await engine.retire()
        await engine.close()


async def _launched(engine: Engine, name: str) -> str:
    """Launch a worker and return its address when it answers."""
    watch = engine.watch()
    await engine.launch(WorkerSpec(name, "s"))
    async for event in watch:
        if event.worker_id == name and event.phase is Phase.READY:
            return event.address
        if event.worker_id == name and event.phase is Phase.EXITED:
            break
    raise RuntimeError(f"worker {name} did not start: {await engine.boot_log(name)}")


def cold(scale: float, say: Say) -> dict:
    """Nothing warm, image present: create to answer, ours and a bare container's of the same image, in turns."""
    rows = {}
    for variant in _images():
        say(f"cold: {variant}")
        with _settings(variant) as settings:
            ours, bare = asyncio.run(_cold(settings, max(4, int(12 * scale))))
        name = "plain Python" if variant == "plain" else f"import {variant}"
        rows[f"bare container, {name}"], rows[f"worker, {name}"] = spread(bare).row(), spread(ours).row()
        rows[f"beyond bare, {name}, min_ms"] = round(spread(ours).min_ms - spread(bare).min_ms, 1)
    return rows


async def _cold(settings: EngineSettings, count: int) -> tuple[list[float], list[float]]:
    async def body(engine: Engine) -> tuple[list[float], list[float]]:
        await _launched(engine, "first")
        await engine.kill("first")
        ours, bare = [], []
        for number in range(count):
            start = time.perf_counter()
            await _launched(engine, f"w{number}")
            ours.append(time.perf_counter() - start)
            await engine.kill(f"w{number}")
            bare.append(await asyncio.to_thread(_bare_s, settings, number))
        return ours, bare

    return await _within(settings, body)  # type: ignore[return-value]


def _bare_s(settings: EngineSettings, number: int) -> float:
    """Return what a container of the same image and rights takes from its creation to an answer."""
    site = Site(settings, hardening.profile(settings.options))
    ready, spec = site.ready(), WorkerSpec(f"bare{number}", "s")
    places = site.places(spec.worker_id, ready)
    arguments = hardening.container(spec, ready.profile, places, site.installation, ())
    imports = "".join(f"import {name}; " for name in settings.imports)
    arguments["command"] = ["python3", "-c", imports + SERVE]
    start = time.perf_counter()
    made = site.door.create(arguments)
    site.door.start(made)
    while not listens(places.run / "k.sock"):
        time.sleep(0.002)
    took_s = time.perf_counter() - start
    site.door.remove(made)
    site.clear(spec.worker_id, False)
    site.door.close()
    return took_s


def paused(scale: float, say: Say) -> dict:
    """A paused worker: from resuming it to its keeper's answer."""
    say("paused")
    with _settings(_images()[-1]) as settings:
        return {"resume to answer": spread(asyncio.run(_paused(settings, max(10, int(50 * scale))))).row()}


async def _paused(settings: EngineSettings, count: int) -> list[float]:
    async def body(engine: Engine) -> list[float]:
        peer, keepers, times = Peer(await _launched(engine, "rests"), "s"), Keepers(), []
        for _ in range(count):
            await engine.pause("rests")
            start = time.perf_counter()
            await engine.resume("rests")
            await keepers.call(peer, "Renew", pb.RenewRequest(ttl_s=60), 10)
            times.append(time.perf_counter() - start)
        await keepers.close()
        return times

    return await _within(settings, body)  # type: ignore[return-value]


@contextmanager
def _engine(name: str, variant: str) -> Iterator[None]:
    """Let the embedded runtime use an engine, with what a variant's warm workers import."""
    mine = {"WARMCELL_ENGINE": name, "WARMCELL_IMPORTS": ",".join(("numpy", *IMPORTS[variant]))}
    mine["WARMCELL_ENGINE_OPTIONS"] = f"variant={variant}" if name == "docker" else ""
    before = {key: os.environ.get(key) for key in mine}
    os.environ.update(mine)
    try:
        with cells.private_home():
            yield
    finally:
        for key, value in before.items():
            os.environ.pop(key) if value is None else os.environ.__setitem__(key, value)


def claim(scale: float, say: Say) -> dict:
    """A new session on a warm container: claim to first event."""
    rows = {}
    for engine in ("process", "docker"):
        variant = _images()[-1]
        say(f"claim: {engine}, {variant}")
        with _engine(engine, variant):
            lifecycle._first_result_s("warm-up")
            firsts = []
            for number in range(max(5, int(20 * scale))):
                time.sleep(3.0 if variant == "torch" else 1.5)  # the pool refills meanwhile; outside the clock
                firsts.append(lifecycle._first_result_s(f"s{number}")[0])
            rows[f"claim to first event, {engine}, {variant}"] = spread(firsts).row()
    return rows


def road(scale: float, say: Say) -> dict:
    """A trivial cell and 100 MB each way, in a container and in a process."""
    rows: dict[str, dict] = {}
    for engine in ("process", "docker"):
        say(f"road: {engine}")
        with _engine(engine, "plain"), cells.prepared(cells.WARMCELL) as cell:
            rows[f"trivial, {engine}"] = spread(cell.times_s(cells.WARMCELL.trivial, max(20, int(300 * scale)))).row()
            for direction, code in (("in", cells.WARMCELL.upload), ("out", cells.WARMCELL.download)):
                times = cells._anew(cell, code or "", max(3, int(12 * scale)) + 3)[3:]
                rows[f"100 MB {direction}, {engine}"] = spread(times).row()
    return rows


def rebuild(scale: float, say: Say) -> dict:
    """An image of which nothing has changed."""
    say("rebuild")
    python = images.minor_version()
    recipe, door = images.recipe(python, "plain", images.pins_here(python)), Door("", "benchmark")
    images.ensure(door, recipe, say)
    times = [once_s(lambda: images.ensure(door, recipe, say)) for _ in range(max(5, int(20 * scale)))]
    door.close()
    return {"nothing changed": spread(times).row()}


MEASURES: Mapping[str, Callable[[float, Say], dict]] = {
    "rebuild": rebuild,
    "cold": cold,
    "paused": paused,
    "claim": claim,
    "road": road,
}


def run(only: list[str] | None, scale: float, say: Say) -> dict[str, dict]:
    """Run the measures named, or all."""
    return {name: MEASURES[name](scale, say) for name in only or MEASURES}
