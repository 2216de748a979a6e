"""What holds on a real device and no look-alike can show."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from remote_runtime.engines.base import Device
from tests.kernels import LiveKernel, Shown
from tests.notebook.conftest import kernel_in

pytestmark = pytest.mark.gpu

GB = 10**9


def done(kernel: LiveKernel, code: str) -> Shown:
    shown = kernel.run(code, timeout_s=110)
    assert shown.status == "ok", shown.traceback
    return shown


def test_torch_sees_the_device_that_nvml_shows(kernel: LiveKernel, device: Device) -> None:
    done(kernel, "%%gpu\np = torch.cuda.get_device_properties(0); seen = [torch.cuda.device_count(), p.name, p.total_memory]")
    count, name, total_bytes = json.loads(done(kernel, "import json\nprint(json.dumps(seen))").text())
    assert (count, name) == (1, device.model)
    assert device.memory_bytes is None or abs(total_bytes - device.memory_bytes) < 0.05 * device.memory_bytes


def test_a_tensor_on_the_device_stays_there_as_a_handle(kernel: LiveKernel) -> None:
    done(kernel, "%%gpu\nx = torch.ones(1000, 1000, device='cuda')")
    assert "cuda:0" in done(kernel, "print(repr(x))").text()
    assert done(kernel, "%%gpu\nx.is_cuda, float(x.sum())").result == "(True, 1000000.0)"


def test_what_is_changed_in_place_is_changed_on_the_device(kernel: LiveKernel) -> None:
    done(kernel, "%%gpu\nx = torch.zeros(1000, device='cuda'); at = x.data_ptr()")
    done(kernel, "%%gpu\nx += 2")
    assert done(kernel, "%%gpu\nfloat(x.sum()), x.data_ptr() == at").result == "(2000.0, True)"


def test_memory_is_told_and_comes_back(kernel: LiveKernel) -> None:
    done(kernel, "%%gpu --no-out\nbig = torch.empty(2 * 10**9, dtype=torch.uint8, device='cuda')")
    assert "memory: " in done(kernel, "%gpu vars").result and "2.0 GB in torch's tensors" in done(kernel, "%gpu vars").result
    done(kernel, "%%gpu\ndel big")
    freed = done(kernel, "%gpu free").result
    assert re.search(r"freed nothing · 2\.[01] GB", freed), freed


def test_want_of_memory_is_explained(kernel: LiveKernel, device: Device) -> None:
    done(kernel, "%%gpu --no-out\nheld = [torch.empty(10**9, dtype=torch.uint8, device='cuda')]")
    shown = kernel.run("%%gpu\ntorch.empty(10**13, dtype=torch.uint8, device='cuda')", timeout_s=110)
    assert shown.error["ename"] == "OutOfMemoryError"
    assert "largest here: held 1.0 GB (list)" in shown.traceback and "`%gpu rm held`" in shown.traceback
    row = next(line for line in shown.traceback.splitlines() if "in torch's tensors" in line)
    assert f"{(device.memory_bytes or 0) / GB:.0f} GB" in row, row
    assert done(kernel, "%%gpu\nfloat(torch.ones(3, device='cuda').sum())").result == "3.0", "the session lives on"


def test_two_sessions_share_a_device(kernel: LiveKernel, home: Path) -> None:
    with kernel_in(home) as other:
        done(other, "%gpu use any --session second --share 4GB")
        both = [done(one, "%%gpu\nimport torch\nfloat(torch.ones(10, device='cuda').sum())").result for one in (kernel, other)]
        status = done(kernel, "%gpu").result
    assert both == ["10.0", "10.0"] and status.count("(4GB of it") == 2


def test_more_than_the_share_is_told_once(home: Path) -> None:
    with kernel_in(home) as other:
        done(other, "%gpu use any --session past --share 1GB")
        source = "%%gpu --no-out\nimport torch, time\nx = torch.empty(2 * 10**9, dtype=torch.uint8, device='cuda')\ntime.sleep(3)"
        shown = [str(done(other, source).outputs) for _ in range(2)]
        later = str(other.others)
    assert "".join([*shown, later]).count("named a share of 1GB") >= 1 and "named a share" not in shown[1]


def test_the_first_operation_of_a_session_is_timed(home: Path) -> None:
    """Prints a figure and holds none: how long a session's first CUDA operation takes, and its second."""
    with kernel_in(home) as other:
        done(other, "%gpu use any --session timed --share 2GB")
        source = "%%gpu\nimport time, torch\nbegan = time.perf_counter(); torch.ones(1, device='cuda').sum().item(); took_s = time.perf_counter() - began"
        for which in ("first", "second"):
            done(other, source)
            print(f"{which} CUDA operation: {done(other, 'print(round(took_s, 4))').text().strip()} s")
