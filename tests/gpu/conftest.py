"""A runtime on the real NVIDIA devices of this machine; without one these tests are skipped, and say why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from remote_runtime.engines import nvml
from remote_runtime.engines.base import Device
from tests.kernels import LiveKernel, kernel_of, stop_runtime


@pytest.fixture(scope="session")
def device() -> Device:
    """The first device that nobody computes on."""
    torch = pytest.importorskip("torch")
    found = nvml.devices(None, None)
    if not found:
        pytest.skip("NVML shows no NVIDIA device on this machine")
    if not torch.cuda.is_available():
        pytest.skip(f"torch {torch.__version__} cannot use CUDA here, though NVML shows {found[0].model}")
    free = [one for one in found if one.state == "free"]
    if not free:
        pytest.skip(f"every device is busy: {found[0].model} is held by {found[0].holder}")
    return free[0]


@pytest.fixture(scope="session")
def home(device: Device, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("gpu")
    yield directory
    stop_runtime(directory)


@pytest.fixture(scope="module")
def kernel(home: Path, device: Device) -> Iterator[LiveKernel]:
    with kernel_of(home, WARMCELL_TARGET="any") as kernel:
        kernel.run("%gpu use any --session first --share 4GB")
        kernel.run("%%gpu\nimport torch")
        yield kernel
