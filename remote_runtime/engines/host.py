"""The devices of this machine: real ones, those declared for trial, and the processor.

    NVML + "--simulate A100:2,A10G" -> inventory -> Devices

Host-wide locks, which keep two users' runtimes off one device, are taken by the worker when it is claimed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from remote_runtime.engines import nvml
from remote_runtime.engines.base import CPU, Device
from remote_runtime.wire.failures import Failed

GIB = 1 << 30

KNOWN_GIB: Mapping[str, int] = {
    "T4": 16, "P100": 16, "V100": 16, "V100-16GB": 16, "V100-32GB": 32,
    "L4": 24, "A10": 24, "A10G": 24, "L40": 48, "L40S": 48,
    "A40": 48, "A6000": 48, "RTX3090": 24, "RTX4090": 24, "RTX5090": 32,
    "A100": 40, "A100-40GB": 40, "A100-80GB": 80, "H100": 80, "H200": 141, "B200": 180,
}  # fmt: skip
"""Memory of a simulated device by its name; a name with its own size, such as "X-12GB", needs no row."""

_ITEM = re.compile(r"(?P<model>[A-Za-z0-9][A-Za-z0-9._-]*?)(?::(?P<count>\d{1,3}))?")
_SIZE = re.compile(r"-(\d+)GB$", re.IGNORECASE)


def simulated(text: str) -> tuple[Device, ...]:
    """Read a declaration of devices, such as "A100:2,A10G".

    Args:
        text: Models with counts, separated by commas; "" declares none.

    Returns:
        The devices, each marked simulated and numbered within its model.

    Raises:
        Failed: code "bad-target", for text that is no such list.
    """
    counts: dict[str, int] = {}
    for item in filter(None, map(str.strip, text.split(","))):
        found = _ITEM.fullmatch(item)
        if found is None or found["model"].lower() in (CPU, "any") or found["count"] == "0":
            raise Failed(
                "bad-target",
                f"{item!r} in --simulate {text!r} declares no device",
                "write models with counts, such as --simulate A100:2,A10G",
            )
        counts[found["model"]] = counts.get(found["model"], 0) + int(found["count"] or 1)
    return tuple(_declared(model, i) for model, count in counts.items() for i in range(count))


def _declared(model: str, index: int) -> Device:
    return Device(f"sim-{model}-{index}", model, declared_memory_bytes(model), simulated=True, index=index)


def declared_memory_bytes(model: str) -> int | None:
    """Return the memory of a declared model, None where its name tells nothing."""
    size = _SIZE.search(model)
    gib = int(size[1]) if size else KNOWN_GIB.get(model.upper())
    return gib * GIB if gib is not None else None


def processor() -> Device:
    """Return the processor as a device; it has a place for every worker."""
    return Device(CPU, CPU, memory_bytes())


def memory_bytes() -> int | None:
    """Return this machine's memory, None where it cannot be read."""
    try:
        line = next(x for x in Path("/proc/meminfo").read_text().splitlines() if x.startswith("MemTotal:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def inventory(declared: tuple[Device, ...], parents: Sequence[int] | None) -> tuple[Device, ...]:
    """Return every device of this machine, real ones first and the processor last.

    Args:
        declared: From `simulated`.
        parents: Processes whose descendants on a device are ours; None where nothing runs yet.
    """
    real = nvml.devices(os.environ.get("CUDA_VISIBLE_DEVICES"), parents)
    return (*real, *declared, processor())
