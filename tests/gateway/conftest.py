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

from tests.gateway.rig import A100, Rig, rig
from tests.gateway.running import Running, start
from tests.leftovers import processes_naming

Play = Callable[[Callable[[Rig], Awaitable[None]]], None]


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., None]:
    def run(body: Callable[[Rig], Awaitable[None]], **more: object) -> None:
        async def within() -> None:
            async with rig(tmp_path, *more.pop("devices", (A100,)), **more) as made:  # type: ignore[arg-type]
                await asyncio.wait_for(body(made), 10)

        asyncio.run(within())

    return run


@pytest.fixture
def home() -> Iterator[Path]:
    """A short directory; every process that names it is ended after the test."""
    path = Path(tempfile.mkdtemp(prefix="wc-g"))
    yield path
    for line in processes_naming(str(path)):
        with suppress(ProcessLookupError):
            os.kill(int(line.split()[0]), signal.SIGKILL)
    shutil.rmtree(path)


@pytest.fixture
def gateway(home: Path) -> Iterator[Callable[..., Running]]:
    """Start gateways on one state directory; those that still run are ended."""
    started: list[Running] = []

    def run(*arguments: str, dies: str = "") -> Running:
        started.append(start(home, *arguments, dies=dies))
        return started[-1]

    yield run
    for running in started:
        if running.process.poll() is None:
            running.end(signal.SIGKILL)
        for channel in running.channels:
            channel.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    """One gateway for a module's tests, with two devices declared for trial."""
    home = Path(tempfile.mkdtemp(prefix="wc-g"))
    running = start(home, "--simulate", "A100:2")
    yield running
    assert running.stop() == 0
    for channel in running.channels:
        channel.close()
    assert not processes_naming(str(home)), (home / "gateway.log").read_text()
    shutil.rmtree(home)
