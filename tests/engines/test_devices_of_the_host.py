from __future__ import annotations

import pytest

from remote_runtime.engines import host
from remote_runtime.wire.failures import Failed

GIB = 1 << 30


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", []),
        ("A100", ["sim-A100-0"]),
        ("A100:2,A10G", ["sim-A100-0", "sim-A100-1", "sim-A10G-0"]),
        (" A100 , A100:1 ", ["sim-A100-0", "sim-A100-1"]),
        ("A100-80GB:1,", ["sim-A100-80GB-0"]),
    ],
)
def test_declarations(text: str, ids: list[str]) -> None:
    devices = host.simulated(text)
    assert [d.id for d in devices] == ids
    assert all(d.simulated for d in devices)


@pytest.mark.parametrize("text", ["A100:0", "A100:x", ":2", "A100;B", "cpu", "any:2", "A100:-1", "A100:1:1", "A100:1000"])
def test_what_declares_nothing_is_refused(text: str) -> None:
    with pytest.raises(Failed, match="declares no device") as caught:
        host.simulated(text)
    assert caught.value.code == "bad-target"
    assert text.strip() in caught.value.message


@pytest.mark.parametrize(
    ("model", "gib"), [("A100", 40), ("A100-80GB", 80), ("a10g", 24), ("T4", 16), ("Own-12GB", 12), ("Own", None)]
)
def test_declared_memory(model: str, gib: int | None) -> None:
    assert host.declared_memory_bytes(model) == (gib * GIB if gib else None)


def test_the_processor_is_always_there_and_comes_last() -> None:
    devices = host.inventory(host.simulated("A100"), None)
    assert [d.id for d in devices[-2:]] == ["sim-A100-0", "cpu"]
    assert devices[-1].memory_bytes > GIB // 4
