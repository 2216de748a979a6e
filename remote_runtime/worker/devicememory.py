"""Memory of the session's devices: what torch takes in this process, what the driver tells of everybody.

    torch, if it has used CUDA -> allocated, reserved   \
    NVML, by the pids of this process group -> own       -> DeviceMemory per device
                                 -> total, used, others  /

Nothing here imports torch or starts CUDA, and a reading that fails is left out: after an error of the device itself
torch raises from everything. Where the driver does not know our own pid, it counts by those of another machine or
container, and no process of its list is named.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.worker.footprint import members
from remote_runtime.worker.readings import Process, Readings, total_of


class DeviceMemory:
    """Reads the memory of a session's devices.

    Args:
        devices: The session's, in the order in which CUDA numbers them.
        share_bytes: What the session means to take of each; None means all of it.
    """

    def __init__(self, devices: Sequence[pb.Device] = (), share_bytes: int | None = None) -> None:
        self.set(devices, share_bytes)

    def set(self, devices: Sequence[pb.Device], share_bytes: int | None) -> None:
        """Become another session's; see the class."""
        self.devices, self._share_bytes = list(devices), share_bytes
        self._accelerators = [d for d in devices if d.id != "cpu"]
        self._readings = Readings([d.id for d in self._accelerators if not d.simulated])

    def of_torch(self) -> list[pb.DeviceMemory]:
        """Return what torch takes, of the devices where it takes any; asks no driver."""
        rows = [pb.DeviceMemory(device_id=d.id, model=d.model, **_torch(i)) for i, d in enumerate(self._accelerators)]
        return [row for row in rows if row.HasField("reserved_bytes")]

    def read(self) -> list[pb.DeviceMemory]:
        """Return what is known of every device."""
        group = set(members(os.getpgrp())) if self._readings.ids else set()
        return [self._read(index, device, group) for index, device in enumerate(self._accelerators)]

    def _read(self, index: int, device: pb.Device, group: set[int]) -> pb.DeviceMemory:
        row = pb.DeviceMemory(
            device_id=device.id, model=device.model, share_bytes=self._share_bytes, **_torch(index)
        )
        if device.simulated:
            return row
        read, running = self._readings.memory(device.id), self._readings.processes(device.id)
        own = [process for process in running if process.pid in group]
        row.MergeFrom(pb.DeviceMemory(
            total_bytes=read.memory_total_bytes if read.HasField("memory_total_bytes") else None,
            used_bytes=read.memory_used_bytes if read.HasField("memory_used_bytes") else None,
            own_bytes=total_of(own),
        ))  # fmt: skip
        if own or torch_cuda() is None:
            row.others.extend(_user(process) for process in running if process.pid not in group)
        return row


def _torch(index: int) -> dict[str, int | None]:
    cuda = torch_cuda()
    if cuda is None:
        return {}
    return {
        "allocated_bytes": _figure(cuda.memory_allocated, index),
        "reserved_bytes": _figure(cuda.memory_reserved, index),
    }


def torch_cuda() -> Any:
    """Return torch's CUDA module where this process has used it, else None."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    try:
        return cuda if cuda is not None and cuda.is_initialized() else None
    except Exception:  # noqa: BLE001  a torch that is being imported, or is another module of that name
        return None


def empty_cache() -> None:
    """Give back what torch keeps of devices and does not use."""
    cuda = torch_cuda()
    try:
        if cuda is not None:
            cuda.empty_cache()
    except Exception:  # noqa: BLE001  after an error of the device torch raises here as from everything else
        return


def reserved_bytes() -> int | None:
    """Return what torch takes of all devices; None where that cannot be read."""
    cuda = torch_cuda()
    try:
        return None if cuda is None else sum(int(cuda.memory_reserved(i)) for i in range(cuda.device_count()))
    except Exception:  # noqa: BLE001  as in `empty_cache`
        return None


def _figure(reading: Callable[[int], Any], index: int) -> int | None:
    try:
        return int(reading(index))
    except Exception:  # noqa: BLE001  as in `empty_cache`
        return None


def _user(process: Process) -> pb.DeviceUser:
    return pb.DeviceUser(pid=process.pid, name=_program(process.pid), memory_bytes=process.memory_bytes)


def _program(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""
