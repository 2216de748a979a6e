"""Utilisation and memory of the leased real devices, about once a second while a cell runs.

NVML --> Reading, with every figure that could not be read left out
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from remote_runtime.wire import messages_pb2 as pb

PERIOD_S = 1.0

log = logging.getLogger(__name__)


class Readings:
    """Reads some devices.

    Args:
        ids: NVML UUIDs of real devices.
    """

    def __init__(self, ids: Sequence[str]) -> None:
        self._ids = tuple(ids)
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

    def read(self) -> list[pb.Reading]:
        """Read every device. Runs on a thread: a driver may take its time."""
        nvml = self._load()
        return [self._read_one(nvml, device_id) for device_id in self._ids] if nvml is not None else []

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

    def _read_one(self, nvml: Any, device_id: str) -> pb.Reading:
        reading = pb.Reading(device_id=device_id)
        try:
            handle = nvml.nvmlDeviceGetHandleByUUID(device_id)
        except nvml.NVMLError:
            return reading
        try:
            reading.utilization_pct = nvml.nvmlDeviceGetUtilizationRates(handle).gpu
        except nvml.NVMLError as error:
            log.debug("no utilisation of %s: %s", device_id, error)
        try:
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            reading.memory_used_bytes, reading.memory_total_bytes = memory.used, memory.total
        except nvml.NVMLError as error:
            log.debug("no memory of %s: %s", device_id, error)
        return reading
