"""One runtime on the docker engine for all of these tests, one kernel per module."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers import engine
from tests.kernels import LiveKernel, kernel_of, stop_runtime

OPTIONS = "memory=512m,cpus=1.5,pids=128,tmp=32m,shm=64m"
MEMORY_BYTES, PIDS = 512 << 20, 128


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A runtime's home; when it was stopped, nothing more is in the engine than before."""
    if engine.absent():
        pytest.skip(engine.absent())
    directory = tmp_path_factory.mktemp("docker")
    before = engine.shared()
    yield directory
    stop_runtime(directory)
    assert engine.left_by(directory) == []
    assert engine.shared() <= before


@pytest.fixture(scope="module")
def kernel(home: Path) -> Iterator[LiveKernel]:
    """A kernel whose cells run in a container."""
    with kernel_of(home, **settings()) as live:
        yield live


def settings(**more: str) -> dict[str, str]:
    """Return the environment of a kernel on the docker engine."""
    return {"WARMCELL_ENGINE": "docker", "WARMCELL_ENGINE_OPTIONS": OPTIONS, "WARMCELL_IMPORTS": "numpy", **more}


def remote(kernel: LiveKernel, *lines: str) -> str:
    """Run lines in the container and return what they print."""
    shown = kernel.run("%%gpu\n" + "\n".join(lines), 90)
    assert not shown.error["ename"], shown.traceback
    return shown.text()


def container_of(home: Path) -> str:
    """Return the name of the container that serves a session: the one whose room holds its files."""
    for room in (home / "rooms").iterdir():
        if (room / "files").is_dir():
            return next(name for name in engine.containers(home) if name.endswith(room.name))
    raise AssertionError(f"no worker of {home} serves a session")


def sh(command: str) -> str:
    """Run a command on the host."""
    return subprocess.run(command, shell=True, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
