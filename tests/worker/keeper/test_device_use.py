"""What a session takes of its devices is added up, and told once where it is more than its share."""

from __future__ import annotations

from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.worker.deviceuse import DeviceUse

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
