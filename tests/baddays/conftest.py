"""One runtime and one kernel per module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernels import LiveKernel, Shown, live_kernel


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKernel]:
    with live_kernel(tmp_path_factory.mktemp("home")) as live:
        live.run("%%gpu cpu\npass")
        yield live


def play(kernel: LiveKernel, *cells: str) -> Shown:
    """Run cells that all end well; a cell that begins with `G` runs there. Return the last one."""
    shown = Shown()
    for cell in cells:
        shown = kernel.run(f"%%gpu cpu\n{cell[2:]}" if cell.startswith("G ") else cell)
        assert shown.status == "ok", f"{cell}: {shown.traceback}"
    return shown
