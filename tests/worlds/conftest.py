"""Environments of their own, made without a network; runtimes whose admin lists directories."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from kernel_proxy.errors import RuntimeUnavailable
from kernel_proxy.runtime import Runtime, connect
from kernel_proxy.settings import Settings
from tests.kernels import LiveKernel, live_kernel
from tests.leftovers import processes_naming

QUICK = {"WARMCELL_IMPORTS": "json"}


def make_venv(folder: Path, python: str = sys.executable) -> Path:
    """Make a virtual environment with one package of its own, and nothing else."""
    subprocess.run([python, "-m", "venv", "--without-pip", "--symlinks", str(folder)], check=True, timeout=60)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "only_there.py").write_text("WHERE = __file__\nclass Box:\n    size = 3\n")
    return folder


def pretend_installed(folder: Path, name: str, version: str) -> None:
    """Leave in an environment what an installer leaves of a distribution, without the distribution."""
    (site,) = folder.glob("lib/python*/site-packages")
    told = site / f"{name}-{version}.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.fixture(scope="session")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_venv(tmp_path_factory.mktemp("envs") / "mine")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the admin lists, with a link in it that leads out."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "deep").mkdir()
    (folder / "deep" / "rows.csv").write_text("1,2,3")
    (folder / "way-out").symlink_to("/etc")
    return folder


def listed(home: Path, **mounts: str) -> None:
    """List directories in a runtime's configuration, by mode."""
    home.mkdir(exist_ok=True)
    lines = [f'"{path}" = "{mode}"' for mode, path in mounts.items()]
    (home / "gateway.toml").write_text("\n".join(("[mounts]", *lines)))


@contextmanager
def short_home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="wc-", dir="/tmp") as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def home(data: Path) -> Iterator[Path]:
    with short_home() as directory:
        listed(directory, ro=str(data))
        yield directory


@pytest.fixture(scope="module")
def kernel(home: Path) -> Iterator[LiveKernel]:
    with live_kernel(home, **QUICK) as kernel:
        yield kernel
    assert not processes_naming(str(home)), (home / "gateway.log").read_text()


@pytest.fixture(scope="module")
def runtime(data: Path) -> Iterator[Callable[[], Runtime]]:
    """A runtime that is used without a notebook."""
    with short_home() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(directory))
        listed(directory / "state", rw=str(data))
        reached = connect(Settings(home=directory / "state", imports="json"))
        yield reached
        with suppress(RuntimeUnavailable):  # a test may have stopped it
            reached.stop(force=True)
        reached.close()
