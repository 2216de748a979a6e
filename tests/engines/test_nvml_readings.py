"""NVML over a stand-in for its library: no machine that runs these tests needs a driver."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest

from remote_runtime.engines import nvml
from remote_runtime.engines.base import Device

GIB = 1 << 30


class NVMLError(Exception):
    pass


class Driver:
    """Two devices; whatever is named in `broken` fails."""

    def __init__(self, *broken: str, pids: tuple[int, ...] = (), mig: int = 0) -> None:
        self.broken, self.pids, self.mig = broken, pids, mig

    def __getattr__(self, name: str):
        answers = {
            "nvmlInit": lambda: None,
            "nvmlDeviceGetCount": lambda: 2,
            "nvmlDeviceGetHandleByIndex": lambda i: str(i),
            "nvmlDeviceGetUUID": lambda h: f"MIG-{h}" if "m" in h else f"GPU-{h}".encode(),
            "nvmlDeviceGetName": lambda h: "NVIDIA A100 MIG 1g.5gb" if "m" in h else "NVIDIA A100-SXM4-40GB",
            "nvmlDeviceGetMemoryInfo": lambda h: SimpleNamespace(total=40 * GIB, free=30 * GIB),
            "nvmlDeviceGetComputeRunningProcesses": lambda h: [SimpleNamespace(pid=p) for p in self.pids if h == "0"],
            "nvmlDeviceGetMigMode": lambda h: [int(self.mig > 0 and h == "0"), 0],
            "nvmlDeviceGetMaxMigDeviceCount": lambda h: 7,
            "nvmlDeviceGetMigDeviceHandleByIndex": self.part,
        }

        def reading(*arguments: object) -> object:
            if name in self.broken:
                raise NVMLError(name)
            return answers[name](*arguments)

        return reading

    def part(self, handle: str, index: int) -> str:
        if index >= self.mig:
            raise NVMLError("no such instance")
        return f"{handle}m{index}"


def read(monkeypatch: pytest.MonkeyPatch, driver: object, visible: str | None = None, parent: int | None = None) -> tuple[Device, ...]:
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    return nvml.devices(visible, [parent] if parent is not None else None)


def test_devices_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = read(monkeypatch, Driver())
    assert first == Device("GPU-0", "NVIDIA A100-SXM4-40GB", 40 * GIB, free_bytes=30 * GIB)
    assert (second.id, second.index, second.simulated) == ("GPU-1", 1, False)


@pytest.mark.parametrize("driver", [None, Driver("nvmlInit"), Driver("nvmlDeviceGetCount")], ids=["no library", "no driver", "no count"])
def test_without_a_driver_there_are_no_devices(monkeypatch: pytest.MonkeyPatch, driver: object) -> None:
    assert read(monkeypatch, driver) == ()


def test_a_reading_that_fails_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, Driver("nvmlDeviceGetMemoryInfo"))[0].memory_bytes is None
    assert read(monkeypatch, Driver("nvmlDeviceGetName"))[0].state == "failed"
    assert read(monkeypatch, Driver("nvmlDeviceGetComputeRunningProcesses"))[0].state == "free"
    assert read(monkeypatch, Driver("nvmlDeviceGetUUID")) == ()


def test_a_foreign_process_makes_a_device_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = read(monkeypatch, Driver(pids=(os.getppid(),)), parent=os.getpid())
    assert first.state == "busy"
    assert first.holder.startswith(f"pid {os.getppid()} (")
    assert (second.state, second.holder) == ("free", "")


def test_our_own_process_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, Driver(pids=(os.getpid(),)))[0].state == "free"
    assert read(monkeypatch, Driver(pids=(os.getpid(), os.getppid())), parent=os.getppid())[0].state == "free"


def test_instances_stand_for_a_device_that_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [d.id for d in read(monkeypatch, Driver(mig=2))] == ["MIG-0m0", "MIG-0m1", "GPU-1"]


@pytest.mark.parametrize(
    ("visible", "ids"),
    [
        (None, ["GPU-aa", "GPU-ab", "MIG-c"]),
        ("", []),
        ("-1", []),
        ("1", ["GPU-ab"]),
        ("1,0", ["GPU-ab", "GPU-aa"]),
        ("0,7,1", ["GPU-aa"]),
        ("0,0", ["GPU-aa"]),
        ("GPU-ab", ["GPU-ab"]),
        ("MIG-c, 0", ["MIG-c", "GPU-aa"]),
        ("nonsense,0", []),
    ],
)
def test_visible_devices_are_a_limit(visible: str | None, ids: list[str]) -> None:
    found = tuple(Device(i, "x") for i in ("GPU-aa", "GPU-ab", "MIG-c"))
    assert [d.id for d in nvml.visible_of(found, visible)] == ids
