"""Utilisation and memory of the leased real devices, about once a second while a cell runs; who takes that memory.

NVML --> Reading, with every figure that could not be read left out
     --> Process per pid that computes on a device
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from remote_runtime.wire import messages_pb2 as pb

PERIOD_S = 1.0

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Process:
    """One that computes on a device.

    Args:
        pid: As the driver knows it.
        memory_bytes: That it takes; None where the driver does not tell.
    """

    pid: int
    memory_bytes: int | None


class Readings:
    """Reads some devices.

    Args:
        ids: NVML UUIDs of real devices.
    """

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = tuple(ids)
        self._nvml: Any = None
        self._failed = False
        self._next_at = 0.0

    def due(self, now: float) -> bool:
        """Tell whether it is time for another reading, and count it as done.

        Args:
            now: Seconds, monotonic.
        """
        if self._failed or now < self._next_at:
            return False
        self._next_at = now + PERIOD_S
        return True

    def read(self, pids: Callable[[], Collection[int]] = tuple) -> list[pb.Reading]:
        """Read every device. Runs on a thread: a driver may take its time.

        Args:
            pids: Tells the processes whose memory is the session's own.
        """
        if self._load() is None:
            return []
        group = set(pids())
        return [self._read_one(device_id, group) for device_id in self.ids]

    def memory(self, device_id: str) -> pb.Reading:
        """Read a device's memory alone."""
        reading, handle = pb.Reading(device_id=device_id), self._handle(device_id)
        memory = self._try(self._nvml.nvmlDeviceGetMemoryInfo, handle) if handle is not None else None
        if memory is not None:
            reading.memory_used_bytes, reading.memory_total_bytes = memory.used, memory.total
        return reading

    def processes(self, device_id: str) -> list[Process]:
        """Return who computes on a device; none where that is not readable."""
        handle = self._handle(device_id)
        running = self._try(self._nvml.nvmlDeviceGetComputeRunningProcesses, handle) if handle is not None else None
        return [Process(int(one.pid), one.usedGpuMemory) for one in running or ()]

    def _load(self) -> Any:
        if self._nvml is None and not self._failed:
            try:
                import pynvml

                pynvml.nvmlInit()
                self._nvml = pynvml
            except Exception as error:  # noqa: BLE001  whatever a missing library or driver raises: then there are no readings
                log.info("no device readings: %s", error)
                self._failed = True
        return self._nvml

    def _handle(self, device_id: str) -> Any:
        nvml = self._load()
        return None if nvml is None else self._try(nvml.nvmlDeviceGetHandleByUUID, device_id)

    def _read_one(self, device_id: str, group: Collection[int]) -> pb.Reading:
        reading, handle = self.memory(device_id), self._handle(device_id)
        rates = self._try(self._nvml.nvmlDeviceGetUtilizationRates, handle) if handle is not None else None
        own_bytes = total_of([one for one in self.processes(device_id) if one.pid in group])
        more = pb.Reading(utilization_pct=rates.gpu if rates is not None else None, own_memory_bytes=own_bytes)
        reading.MergeFrom(more)
        return reading

    @staticmethod
    def _try(reading: Callable[..., T], *arguments: Any) -> T | None:
        """Return a reading, or None where it fails; each device and driver supports its own part of NVML."""
        try:
            return reading(*arguments)
        except Exception as error:  # noqa: BLE001  NVMLError's subclasses are made at run time, a broken driver raises others
            log.debug("no %s: %s", getattr(reading, "__name__", "reading"), error)
            return None


def total_of(processes: Collection[Process]) -> int | None:
    """Return what processes take together; None where there is none, or one is not readable."""
    sizes = [process.memory_bytes for process in processes]
    known = [size for size in sizes if size is not None]
    return sum(known) if known and len(known) == len(sizes) else None
