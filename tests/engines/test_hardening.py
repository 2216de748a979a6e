"""What a container is allowed, as the pure function decides it; `tests/containers` looks from inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from remote_runtime.engines import binds, hardening
from remote_runtime.engines.base import WorkerSpec
from remote_runtime.engines.hardening import Places, Profile, Surroundings, container, profile, size_bytes
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.specs import Environment, Mount
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


def around(asked: Profile = Profile(image="own"), environment: Environment = Environment(), **found: Any) -> dict[str, Any]:
    places = Places(Path("/r"), Path("/o"), Path("/c"), Surroundings(**found))
    return container(WorkerSpec("w", "s", (), environment=environment), asked, places, "0123456789abcdef", ["--once"])


def test_an_image_takes_the_place_of_the_profile_s_and_its_variables_stay() -> None:
    assert (around()["image"], around(image="mine:1")["image"]) == ("own", "mine:1")
    limited = Profile(cpus=2)
    found = around(limited, variables={"PYTHONPATH": "/a:/b", "OMP_NUM_THREADS": "1", "HOME": "/root"})["environment"]
    assert (found["PYTHONPATH"], found["HOME"]) == ("/opt/warmcell:/a:/b", "/session/home")
    assert "OMP_NUM_THREADS" not in found  # the image's own holds
    assert around(limited)["environment"]["OMP_NUM_THREADS"] == "2"


def test_what_is_bound_is_read_only_unless_it_may_be_written_and_takes_no_other_right() -> None:
    found = around(bound=(Mount("/srv/in", "/in"), Mount("/srv/out", "/out", True)))
    bound = {m["target"]: (m["source"], m["read_only"], m["propagation"]) for m in found.pop("mounts")[3:]}
    assert bound == {"/in": ("/srv/in", True, "rprivate"), "/out": ("/srv/out", False, "rprivate")}
    plain = around()
    del plain["mounts"]
    assert found == plain


@pytest.mark.parametrize("network", ["internet", "none"])
def test_a_session_may_have_less_network_than_its_engine_and_never_more(network: str) -> None:
    blocked = around(Profile(network=network), Environment(block_network=True))
    assert (blocked["network_mode"], "sysctls" in blocked) == ("none", False)
    assert (around(Profile(network=network))["network_mode"] == "none") is (network == "none")


WELL = [("/in", "/out"), ("a", "/a"), ("/data/a", "/data/b"), ("a", "ab"), ("/opt/data",), ("/tmp/data",), ("/usr/local/data",)]
ILL = [
    ("/session/files",), ("/opt/warmcell/remote_runtime",), ("/opt",), ("/run",), ("/proc/sys",), ("/dev/shm",), ("/etc",), ("/tmp",),
    ("/mnt/warmcell",), ("/mnt",), ("a", "a"), ("a", "a/b"), ("/x/y", "/x"),
]  # fmt: skip


@pytest.mark.parametrize("targets", WELL)
def test_directories_are_bound_side_by_side(targets: tuple[str, ...]) -> None:
    found = binds.bound(Environment(mounts=tuple(Mount("/s", target) for target in targets)), Path("/v"))
    binds.check(found)
    assert [m.target for m in found] == [t if t.startswith("/") else f"/mnt/warmcell/{t}" for t in targets]


@pytest.mark.parametrize("targets", ILL)
def test_a_target_that_a_container_needs_or_that_is_taken_is_refused(targets: tuple[str, ...]) -> None:
    with pytest.raises(Failed, match="seen at") as refused:
        binds.check(binds.bound(Environment(mounts=tuple(Mount("/s", target) for target in targets)), Path("/v")))
    assert refused.value.hint


def test_a_source_that_became_a_link_is_no_longer_bound(tmp_path: Path) -> None:
    source = tmp_path.resolve() / "in"
    source.mkdir()
    binds.require([Mount(str(source), "/in")])
    source.rmdir()
    source.symlink_to("/etc")
    with pytest.raises(Failed, match="no longer the directory that it was"):
        binds.require([Mount(str(source), "/in")])


def test_rights_that_keep_a_worker_out_are_told(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o777)
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "shut").mkdir(mode=0o700)
    (tmp_path / "shut").chmod(0o500)
    told = [binds.remarks(Environment(mounts=(Mount(str(tmp_path / name), "/x", True),))) for name in ("open", "shut")]
    assert told[0] == []
    assert told[1][-1] == f"workers are user {hardening.user()} on the host, who may not write {tmp_path / 'shut'}"


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
