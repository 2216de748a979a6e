"""While a header is typed, what its cell will need is started; the cell says how much it did not have to wait."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel_proxy import statedir
from tests.kernels import LiveKernel, live_kernel
from tests.worker.keeper.link import until

JOIN = "import threading\n[t.join(60) for t in threading.enumerate() if t.name == 'warmcell-ahead'];"


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="wc-a") as folder:
        yield Path(folder)


def typed(kernel: LiveKernel, cell: str, at: int | None = None) -> None:
    """Ask for completions as a front end does while a cell is typed."""
    kernel.client.complete(cell, len(cell) if at is None else at, reply=True, timeout=20)


def notes(kernel: LiveKernel) -> str:
    return str(kernel.run("%%gpu cpu\nprint(1)").outputs)


def test_a_header_that_is_written_out_starts_the_embedded_runtime(home: Path) -> None:
    with live_kernel(home, WARMCELL_AHEAD="auto") as kernel:
        typed(kernel, "%%gpu cp")
        assert statedir.find(home) is None, "the target is not written out yet"
        typed(kernel, "%%gpu cpu\nx")
        until(lambda: statedir.find(home), "the runtime")
        kernel.run(JOIN)
        assert "warmed ahead: this cell waited" in notes(kernel)
        assert "warmed ahead" not in notes(kernel), "it is said once"


@pytest.mark.parametrize("cell", ["x = 1", "%%gpu H100 --simulate\n", "%gpu status", "%%gpu {name}\nx", "%%time\nx"])
def test_what_names_nothing_to_warm_starts_nothing(home: Path, cell: str) -> None:
    with live_kernel(home, WARMCELL_AHEAD="auto" if "H100" not in cell else "never") as kernel:
        typed(kernel, cell)
        shown = kernel.run("import threading\nprint([t.name for t in threading.enumerate()])")
        assert "warmcell-ahead" not in shown.text()
        assert statedir.find(home) is None


def test_use_warms_at_once(home: Path) -> None:
    with live_kernel(home, WARMCELL_AHEAD="auto") as kernel:
        kernel.run("%gpu use cpu")
        kernel.run(JOIN)
        assert statedir.find(home) is not None
        assert "warmed ahead" in str(kernel.run("%%gpu\nprint(1)").outputs)


def test_a_remote_runtime_is_not_reached_by_typing(home: Path) -> None:
    with live_kernel(home, WARMCELL_AHEAD="auto", WARMCELL_URL="http://127.0.0.1:9", WARMCELL_TOKEN="t") as kernel:
        typed(kernel, "%%gpu cpu\nx")
        shown = kernel.run("import threading\nprint([t.name for t in threading.enumerate()])")
        assert "warmcell-ahead" not in shown.text()
