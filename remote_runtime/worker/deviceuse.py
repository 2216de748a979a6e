"""What the session takes of its devices, as its keeper knows it, and the one notice when that is more than its share.

    NVML, by the pids of its processes -> bytes per device  \
    the end of a run, as torch tells it -> where NVML cannot  -> sum; past the share? -> a sentence, once

Nothing holds a share: the notice is all that happens.
"""

from __future__ import annotations

from collections.abc import Iterable

from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.targets import format_size


class DeviceUse:
    """Adds up what a session takes.

    Args:
        share_bytes: What it means to take of each device; None means all of it.
    """

    def __init__(self, share_bytes: int | None = None) -> None:
        self._share_bytes = share_bytes
        self._by_driver: dict[str, int] = {}
        self._by_torch: dict[str, int] = {}
        self._is_told = False

    @property
    def used_bytes(self) -> int | None:
        """What it takes of all its devices together; None where nobody can tell."""
        taken = {**self._by_torch, **self._by_driver}
        return sum(taken.values()) if taken else None

    def read(self, readings: Iterable[pb.Reading]) -> str:
        """Take what the driver tells of all devices, and return what is to be said of it, "" for nothing."""
        self._by_driver = {r.device_id: r.own_memory_bytes for r in readings if r.HasField("own_memory_bytes")}
        return self._excess()

    def ended(self, devices: Iterable[pb.DeviceMemory]) -> str:
        """Take what torch takes at the end of a run; see `read`."""
        self._by_torch = {d.device_id: d.reserved_bytes for d in devices if d.HasField("reserved_bytes")}
        return self._excess()

    def lost(self) -> None:
        """Forget what a process took that is gone, with its memory."""
        self._by_driver, self._by_torch = {}, {}

    def _excess(self) -> str:
        most = max({**self._by_torch, **self._by_driver}.values(), default=0)
        if self._is_told or self._share_bytes is None or most <= self._share_bytes:
            return ""
        self._is_told = True
        taken = f"{most / 1e9:.1f} GB"
        return (
            f"this session takes {taken} of a device and named a share of {format_size(self._share_bytes)}; nothing "
            "holds it to that, and others who share the device may find no memory left: `%gpu free` gives back what "
            "torch keeps, or a session is opened with a larger `--share`"
        )
