"""What a driver and torch tell of a device, in a user process that has none: installed by a cell, may fail like the real ones."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tests.worker.user.harness import User

GB = 10**9
DEVICE = "GPU-0"

_INSTALL = """#
import os, sys, types, torch
def install(broken, processes, reserved, allocated):
    class NVMLError(Exception): pass
    class ProcessInfo:
        def __init__(self, pid, memory): self.pid, self.usedGpuMemory = pid, memory
    class Memory: total, used, free = 80 * 10**9, 70 * 10**9, 10 * 10**9
    here = os.getpid()
    def listed(handle): return [ProcessInfo(here if pid == 'own' else pid, memory) for pid, memory in processes]
    answers = {'nvmlInit': lambda: None, 'nvmlDeviceGetHandleByUUID': lambda uuid: uuid, 'nvmlDeviceGetMemoryInfo': lambda handle: Memory,
               'nvmlDeviceGetComputeRunningProcesses': listed}
    nvml = types.ModuleType('pynvml')
    nvml.NVMLError = NVMLError
    for name, answer in answers.items():
        def call(*given, name=name, answer=answer):
            if name in broken: raise NVMLError(name)
            return answer(*given)
        setattr(nvml, name, call)
    sys.modules['pynvml'] = nvml
    sizes = {'reserved': reserved, 'allocated': allocated}
    def figure(what):
        def read(index=0):
            if 'device' in broken: raise RuntimeError('CUDA error: device-side assert triggered')
            return sizes[what]
        return read
    def empty_cache():
        figure('reserved')()
        sizes['reserved'] = sizes['allocated']
    torch.cuda.is_initialized = lambda: 'torch' not in broken
    torch.cuda.device_count = lambda: 1
    torch.cuda.memory_reserved, torch.cuda.memory_allocated, torch.cuda.empty_cache = figure('reserved'), figure('allocated'), empty_cache
install(*{arguments})
del install, os, sys, types, torch
"""

ON_DEVICE = """#
import torch
class OnDevice(torch.Tensor):
    is_cuda = property(lambda tensor: True)
    device = property(lambda tensor: torch.device('cuda:0'))
def on_device(size_mb): return torch.zeros(size_mb * 1000, 1000, dtype=torch.uint8).as_subclass(OnDevice)
"""
"""Gives cells `on_device(size_mb)`: a tensor whose memory passes for a device's."""


def source(*broken: str, processes: Sequence[tuple[object, int | None]], reserved_bytes: int, allocated_bytes: int) -> str:
    """Return the cell that installs them; see `install`."""
    return _INSTALL.replace("{arguments}", repr((set(broken), list(processes), reserved_bytes, allocated_bytes)))


def install(
    user: User, *broken: str, processes: Sequence[tuple[object, int | None]] = (("own", 60 * GB),), share_bytes: int | None = None,
    reserved_bytes: int = 50 * GB, allocated_bytes: int = 20 * GB,
) -> None:  # fmt: skip
    """Make the process a session's on one real device; what is named in `broken` fails: calls of NVML, "device", "torch"."""
    user.run(source(*broken, processes=processes, reserved_bytes=reserved_bytes, allocated_bytes=allocated_bytes))
    row = {"id": DEVICE, "model": "NVIDIA H100 80GB HBM3", "simulated": False}
    user.send(json.dumps({"devices": [row], "device_memory_bytes": share_bytes}).encode())
