"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path

OURS = ("warmcell", "ipython", "ipykernel", "grpcio", "cloudpickle", "numpy", "torch")
PACKAGES = (*OURS, "ray", "distributed", "ipyparallel")


def describe() -> dict[str, object]:
    """Return the machine and the versions of what was measured, without names or addresses."""
    return {
        "cpu": _cpu_model(),
        "cores_count": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "accelerator": None,
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
