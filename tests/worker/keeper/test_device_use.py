"""What a session takes of its devices is added up, and told once where it is more than its share."""

from __future__ import annotations

import os
import sys
import types

import pytest

from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.worker.deviceuse import DeviceUse
from remote_runtime.worker.readings import Readings
from tests.worker.keeper.conftest import zygote_in_folder
from tests.worker.keeper.link import REAL, Link
from tests.worker.user import lookalikes

GB = 10**9


def readings(*own_bytes: int | None) -> list[pb.Reading]:
    return [pb.Reading(device_id=f"GPU-{at}", own_memory_bytes=size) for at, size in enumerate(own_bytes)]


def torch(reserved_bytes: int) -> list[pb.DeviceMemory]:
    return [pb.DeviceMemory(device_id="GPU-0", reserved_bytes=reserved_bytes)]


def test_past_the_share_is_told_once() -> None:
    use = DeviceUse(20 * GB)
    assert use.read(readings(20 * GB)) == ""
    assert use.read(readings(3 * GB, 21 * GB)).startswith("this session takes 21.0 GB of a device and named a share of 20GB")
    assert use.read(readings(30 * GB)) == "" and use.ended(torch(40 * GB)) == ""


def test_without_a_share_nothing_is_told() -> None:
    use = DeviceUse()
    assert use.read(readings(70 * GB, 1 * GB)) == "" and use.used_bytes == 71 * GB


def test_torch_tells_where_the_driver_cannot() -> None:
    use = DeviceUse(20 * GB)
    assert use.used_bytes is None
    assert use.read(readings(None)) == "" and use.used_bytes is None
    assert "takes 25.0 GB" in use.ended(torch(25 * GB)) and use.used_bytes == 25 * GB
    use.read(readings(26 * GB))
    assert use.used_bytes == 26 * GB
    use.lost()
    assert use.used_bytes is None


class Driver(types.ModuleType):
    """One device and its processes; whatever is named in `broken` fails."""

    class NVMLError(Exception):
        pass

    def __init__(self, *broken: str, running: dict[int, int | None]) -> None:
        super().__init__("pynvml")
        self.broken, self.running = broken, running

    def __getattr__(self, name: str):
        answers = {
            "nvmlInit": lambda: None,
            "nvmlDeviceGetHandleByUUID": lambda uuid: uuid,
            "nvmlDeviceGetMemoryInfo": lambda handle: types.SimpleNamespace(total=80 * GB, used=70 * GB),
            "nvmlDeviceGetUtilizationRates": lambda handle: types.SimpleNamespace(gpu=42),
            "nvmlDeviceGetComputeRunningProcesses": lambda handle: [types.SimpleNamespace(pid=p, usedGpuMemory=m) for p, m in self.running.items()],
        }

        def reading(*arguments: object) -> object:
            if name in self.broken:
                raise self.NVMLError(name)
            return answers[name](*arguments)

        return reading


@pytest.mark.parametrize(
    ("broken", "running", "own_bytes"),
    [
        ("", {1: 5 * GB, 2: 3 * GB, 9: 7 * GB}, 8 * GB),
        ("", {9: 7 * GB}, None),
        ("", {1: None, 2: 3 * GB}, None),
        ("nvmlDeviceGetComputeRunningProcesses", {1: 5 * GB}, None),
        ("nvmlDeviceGetHandleByUUID", {1: 5 * GB}, None),
    ],
    ids=["own and others", "others alone", "one is not readable", "no processes", "no device"],
)
def test_memory_of_its_own_processes_is_read(
    monkeypatch: pytest.MonkeyPatch, broken: str, running: dict[int, int | None], own_bytes: int | None
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Driver(broken, running=running))
    (reading,) = Readings(["GPU-0"]).read(lambda: (1, 2))
    assert (reading.own_memory_bytes if reading.HasField("own_memory_bytes") else None) == own_bytes
    assert reading.HasField("memory_used_bytes") == reading.HasField("utilization_pct") == (broken != "nvmlDeviceGetHandleByUUID")


def until_end(client: Link) -> list[pb.FromWorker]:
    messages = [client.get()]
    while not messages[-1].event.HasField("end"):
        messages.append(client.get())
    assert messages[-1].event.end.status == "ok"
    return messages


def test_a_session_past_its_share_is_told_in_its_notebook_once() -> None:
    device = pb.Device(id=f"GPU-{os.getpid()}", model="H100")
    with zygote_in_folder(REAL) as zygote:
        keeper = zygote.keeper(tick_s=0.02).claim(devices=[device], shared_devices=True, device_memory_bytes=20 * GB)
        client = keeper.client()
        figures = {"processes": (), "reserved_bytes": 25 * GB, "allocated_bytes": 5 * GB}
        first = until_end(client.run(lookalikes.source("nvmlInit", **figures)))
        (text,) = [message.notice.text for message in first if message.HasField("notice")]
        assert "takes 25.0 GB" in text and "share of 20GB" in text
        assert keeper.info().device_used_bytes == 25 * GB
        assert not any(message.HasField("notice") for message in until_end(client.run("1", run_id="r2")))
        keeper.close()
