"""What a container is allowed, as the pure function decides it; `tests/containers` looks from inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from remote_runtime.engines import hardening
from remote_runtime.engines.base import WorkerSpec
from remote_runtime.engines.hardening import Places, Profile, container, profile, size_bytes
from remote_runtime.wire.failures import Failed
from remote_runtime.worker import devicelock

PLACES = Places(Path("/r"), Path("/o"), Path("/c"))


def arguments(asked: Profile = Profile(), devices: tuple[str, ...] = ()) -> dict[str, Any]:
    return container(WorkerSpec("w", "the-secret", devices), asked, PLACES, "0123456789abcdef", ["--once"])


def test_no_container_has_more_than_it_needs() -> None:
    found = arguments()
    assert (found["cap_drop"], found["read_only"], found["privileged"]) == (["ALL"], True, False)
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert not found["user"].startswith("0:")
    assert {m["target"]: m["read_only"] for m in found["mounts"]} == {"/run/warmcell": False, "/session": False, "/opt/warmcell": True}
    assert "the-secret" not in str(found)


def test_real_gpus_are_asked_for_by_uuid_and_locked_for_the_whole_machine() -> None:
    found = arguments(devices=("GPU-1", "GPU-2"))
    assert [asked["device_ids"] for asked in found["device_requests"]] == [["GPU-1", "GPU-2"]]
    assert hardening.LOCKS in {mount["target"] for mount in found["mounts"]}
    assert Path(hardening.LOCKS) == devicelock.DIRECTORY


@pytest.mark.parametrize("devices", [(), ("cpu",), ("sim-A100-0",)])
def test_devices_for_trial_need_nothing(devices: tuple[str, ...]) -> None:
    assert arguments(devices=devices)["device_requests"] == []


def test_options_become_limits() -> None:
    found = arguments(profile({"memory": "8g", "cpus": "2", "pids": "64", "network": "none", "runtime": "runsc"}))
    assert (found["mem_limit"], found["memswap_limit"], found["nano_cpus"]) == (8 << 30, 8 << 30, 2_000_000_000)
    assert (found["pids_limit"], found["network_mode"], found["runtime"]) == (64, "none", "runsc")
    assert found["environment"]["OMP_NUM_THREADS"] == "2"


@pytest.mark.parametrize(("text", "expected"), [("8g", 8 << 30), ("512MiB", 512 << 20), ("1048576", 1 << 20), (4096, 4096)])
def test_sizes_are_read(text: object, expected: int) -> None:
    assert size_bytes(text) == expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"memmory": "8g"}, "has no option 'memmory'"),
        ({"memory": "much"}, "memory is 'much', which is no size"),
        ({"pids": "many"}, "pids is 'many', which is no number"),
        ({"network": "some"}, "is neither 'internet' nor 'none'"),
    ],
)
def test_an_option_that_cannot_be_read_is_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(Failed, match=words):
        profile(options)
