"""What a session tells of its devices' memory, and what stands below an error for want of it."""

from __future__ import annotations

import os

import pytest

from jupyter_ext import shortages
from remote_runtime.wire import messages_pb2 as pb
from tests.worker.user.harness import User
from tests.worker.user.lookalikes import GB, ON_DEVICE, install

OUT = "raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 20.00 GiB')"


def memory(user: User) -> pb.DeviceMemory:
    (found,) = user.ask(list_vars={})[0].vars.devices
    return found


def test_memory_is_told_by_driver_and_torch(fresh: User) -> None:
    install(fresh, share_bytes=40 * GB)
    found = memory(fresh)
    assert (found.total_bytes, found.used_bytes, found.own_bytes) == (80 * GB, 70 * GB, 60 * GB)
    assert (found.allocated_bytes, found.reserved_bytes, found.share_bytes) == (20 * GB, 50 * GB, 40 * GB)
    (note,) = shortages.notes([found])
    assert note == "H100-80GB memory: 70 GB of 80 GB used, 60 GB (20 GB in torch's tensors, 30 GB in its cache) by this session, of a share of 40GB"
    assert fresh.ask(environment={})[0].environment.memory[0] == found


def test_what_cannot_be_read_is_absent(fresh: User) -> None:
    install(fresh, "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetComputeRunningProcesses", "device")
    found = memory(fresh)
    fields = ("total_bytes", "used_bytes", "own_bytes", "allocated_bytes", "reserved_bytes")
    assert not any(found.HasField(name) for name in fields) and not shortages.notes([found])


@pytest.mark.parametrize("call", ["nvmlInit", "nvmlDeviceGetHandleByUUID"])
def test_without_a_driver_torch_still_tells(fresh: User, call: str) -> None:
    install(fresh, call)
    found = memory(fresh)
    assert not found.HasField("total_bytes") and found.reserved_bytes == 50 * GB
    assert shortages.own_bytes(found) == 50 * GB


def test_torch_is_not_asked_before_it_has_used_a_device(fresh: User) -> None:
    install(fresh, "torch")
    found = memory(fresh)
    assert not found.HasField("reserved_bytes") and found.used_bytes == 70 * GB
    assert not fresh.run("x = 1").end.devices


def test_others_are_named_only_where_our_own_pid_is_known(fresh: User) -> None:
    install(fresh, processes=[("own", 60 * GB), (os.getpid(), 5 * GB), (4_000_000, None)])
    assert [(o.pid, o.HasField("memory_bytes")) for o in memory(fresh).others] == [(os.getpid(), True), (4_000_000, False)]
    install(fresh, processes=[(os.getpid(), 5 * GB)])
    found = memory(fresh)
    assert not found.others and not found.HasField("own_bytes"), "these are another container's pids"


def test_free_tells_what_came_back(fresh: User) -> None:
    install(fresh)
    removed = fresh.ask(free={})[0].removed
    assert removed.freed_bytes == 30 * GB and removed.detail.startswith("GPU memory")
    assert removed.devices[0].reserved_bytes == 20 * GB


def test_free_after_an_error_of_the_device_tells_nothing_it_does_not_know(fresh: User) -> None:
    install(fresh, "device")
    removed = fresh.ask(free={})[0].removed
    assert not removed.HasField("freed_bytes") and removed.detail.startswith("GPU memory")


def test_want_of_memory_is_explained_below_the_error(fresh: User) -> None:
    install(fresh, processes=[("own", 60 * GB), (os.getpid(), 5 * GB)], share_bytes=40 * GB)
    fresh.run(f"{ON_DEVICE}\nbig = on_device(3)\nlosses = [on_device(1), on_device(1)]\nview = big[:1]\nhere = torch.zeros(9)")
    problem = fresh.run(OUT).end.problem
    assert (problem.type_name, problem.has_exception) == ("OutOfMemoryError", True)
    (short,) = problem.shortage
    assert {h.name: h.size_bytes for h in short.largest} == {"big": 3_000_000, "view": 3_000_000, "losses": 2_000_000}
    text = "\n".join(shortages.lines(problem, {os.getpid(): "session other"}))
    assert "H100-80GB  80 GB  70 GB  60 GB (20 GB in torch's tensors, 30 GB in its cache)  session other 5.0 GB" in text
    assert "named a share of 40GB, and takes more" in text and "largest here: big 3.0 MB (OnDevice)" in text
    assert "hint: `%gpu free` gives back up to 30 GB that torch keeps and does not use, or `%gpu rm big`" in text


@pytest.mark.parametrize(
    "source",
    [
        OUT,
        "raise RuntimeError('CUDA error: out of memory')",
        "try:\n    raise RuntimeError('CUDA out of memory.')\nexcept RuntimeError as error:\n    raise ValueError('of mine') from error",
        "raise type('OutOfMemoryError', (MemoryError,), {'__module__': 'cupy.cuda.memory'})('Out of memory allocating 512 bytes')",
        "raise type('XlaRuntimeError', (RuntimeError,), {'__module__': 'jaxlib.xla_extension'})('RESOURCE_EXHAUSTED: Out of memory')",
    ],
    ids=["torch", "driver", "as a cause", "cupy", "jax"],
)
def test_each_library_s_error_is_known(fresh: User, source: str) -> None:
    install(fresh)
    fresh.run("import torch")
    problem = fresh.run(source).end.problem
    assert len(problem.shortage) == 1 and "hint: `%gpu free`" in "\n".join(shortages.lines(problem, {}))


@pytest.mark.parametrize("source", ["raise RuntimeError('out of luck')", "raise MemoryError()", "raise ValueError('CUDA out of memory')"])
def test_another_error_is_left_alone(user: User, source: str) -> None:
    problem = user.run(source).end.problem
    assert not problem.shortage and not shortages.lines(problem, {})


def test_where_nothing_can_be_read_there_is_still_a_hint(user: User) -> None:
    problem = user.run("#\nimport torch\nraise torch.OutOfMemoryError('CUDA out of memory.')").end.problem
    text = "\n".join(shortages.lines(problem, {}))
    assert "A100    -      -     -             -" in text and text.splitlines()[-1].startswith("hint: take a smaller batch")
