"""A notebook in a folder of its own, with local modules beside it."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.kernels import LiveKernel, Shown, stop_runtime
from tests.notebook.conftest import kernel_in


def write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else textwrap.dedent(content).encode())


class Notebook:
    """A kernel whose working directory is `folder`."""

    def __init__(self, kernel: LiveKernel, folder: Path) -> None:
        self.kernel, self.folder = kernel, folder
        assert kernel.run(f"%cd -q {folder}").status == "ok"

    def write(self, **files: str | bytes) -> None:
        """Write modules beside the notebook, by their names."""
        write(self.folder, {f"{name}.py": content for name, content in files.items()})

    def run(self, cell: str) -> Shown:
        return self.kernel.run(cell)

    def far(self, body: str, flags: str = "") -> str:
        """Run a cell there, and return what it printed."""
        shown = self.kernel.run(f"%%gpu {flags}\n{textwrap.dedent(body)}")
        assert shown.status == "ok", shown.traceback
        return shown.text().strip()

    def here(self, cell: str) -> str:
        shown = self.kernel.run(cell)
        assert shown.status == "ok", shown.traceback
        return shown.text().strip()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("home")
    yield directory
    stop_runtime(directory)


@pytest.fixture(scope="module")
def kernel(home: Path) -> Iterator[LiveKernel]:
    with kernel_in(home) as kernel:
        yield kernel


@pytest.fixture
def notebook(kernel: LiveKernel, tmp_path: Path) -> Iterator[Notebook]:
    yield Notebook(kernel, tmp_path)
    kernel.run(f"%cd -q {os.sep}")
