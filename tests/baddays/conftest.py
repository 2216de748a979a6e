"""One runtime and one kernel per module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernels import LiveKernel, live_kernel


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKernel]:
    with live_kernel(tmp_path_factory.mktemp("home")) as live:
        live.run("%%gpu cpu\npass")
        yield live
