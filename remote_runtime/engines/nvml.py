"""The door to NVML: which NVIDIA devices there are and whether somebody computes on them.

    driver -> _Handle per device (or per MIG instance) -> limited by CUDA_VISIBLE_DEVICES -> Devices

Without the library or a driver there are no devices, which is no error. A reading that fails is None.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from remote_runtime.engines.base import Device
from remote_runtime.engines.pids import descends, name_of

T = TypeVar("T")


def devices(visible: str | None, parents: Sequence[int] | None) -> tuple[Device, ...]:
    """Return the devices that may be used, in PCI order, as they are now.

    Args:
        visible: Value of CUDA_VISIBLE_DEVICES; None where it is not set.
        parents: Processes whose descendants are ours; another process on a device makes it busy.
    """
    library = _library()
    if library is None:
        return ()
    found = [_read(library, handle, index, parents) for index, handle in enumerate(_handles(library))]
    return visible_of(tuple(d for d in found if d is not None), visible)


def visible_of(found: tuple[Device, ...], visible: str | None) -> tuple[Device, ...]:
    """Limit devices as CUDA does: by index or the beginning of a UUID, up to the first that names none."""
    if visible is None:
        return found
    chosen: list[Device] = []
    for entry in map(str.strip, visible.split(",")):
        device = _named(found, entry)
        if device is None:
            break
        chosen.append(device)
    return tuple(dict.fromkeys(chosen))


def _named(found: tuple[Device, ...], entry: str) -> Device | None:
    if entry.isdigit():
        return found[int(entry)] if int(entry) < len(found) else None
    return next((d for d in found if entry.startswith(("GPU-", "MIG-")) and d.id.startswith(entry)), None)


def _library() -> Any:
    """Return NVML, started, or None where there is no driver. Loaded here because most machines have none."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # noqa: BLE001 - no library or no usable driver: there is nothing to read
        return None
    return pynvml


def _handles(library: Any) -> list[Any]:
    """Return what can be leased: the instances of a device that is cut by MIG, else the device itself."""
    count = _try(library.nvmlDeviceGetCount) or 0
    whole = [_try(library.nvmlDeviceGetHandleByIndex, i) for i in range(count)]
    return [part for handle in whole if handle is not None for part in _instances(library, handle) or [handle]]


def _instances(library: Any, handle: Any) -> list[Any]:
    mode = _try(library.nvmlDeviceGetMigMode, handle)
    if not mode or not mode[0]:
        return []
    slots = _try(library.nvmlDeviceGetMaxMigDeviceCount, handle) or 0
    parts = [_try(library.nvmlDeviceGetMigDeviceHandleByIndex, handle, i) for i in range(slots)]
    return [part for part in parts if part is not None]


def _read(library: Any, handle: Any, index: int, parents: Sequence[int] | None) -> Device | None:
    uuid = _try(library.nvmlDeviceGetUUID, handle)
    if uuid is None:
        return None
    memory = _try(library.nvmlDeviceGetMemoryInfo, handle)
    name = _try(library.nvmlDeviceGetName, handle)
    strangers = _strangers(library, handle, parents)
    state = "failed" if name is None else "busy" if strangers else "free"
    total_bytes, free_bytes = (int(memory.total), int(memory.free)) if memory is not None else (None, None)
    holder = ", ".join(strangers)
    return Device(_text(uuid), _text(name or "unknown"), total_bytes, False, index, state, holder, free_bytes)


def _strangers(library: Any, handle: Any, parents: Sequence[int] | None) -> list[str]:
    """Name the processes that compute on a device and are not ours."""
    running = _try(library.nvmlDeviceGetComputeRunningProcesses, handle) or []
    pids = sorted({int(process.pid) for process in running} - {os.getpid()})
    return [name_of(pid) for pid in pids if not any(descends(pid, parent) for parent in parents or ())]


def _try(reading: Callable[..., T], *arguments: Any) -> T | None:
    """Return a reading, or None where it fails; each device and driver supports its own part of NVML."""
    try:
        return reading(*arguments)
    except Exception:  # noqa: BLE001 - NVMLError's subclasses are made at run time, and a broken driver raises others
        return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
