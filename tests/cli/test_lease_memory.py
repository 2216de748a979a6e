"""What a session takes of a device that names no share, chosen when the runtime is started."""

from __future__ import annotations

from contextlib import closing

from kernel_proxy.runtime import connect
from kernel_proxy.settings import Settings
from tests.cli.conftest import Shell


def test_sessions_share_a_device_by_default_and_it_is_told(warmcell: Shell) -> None:
    warmcell.json("up", "--simulate", "A100", "--lease-memory", "15GB")
    with closing(connect(Settings(home=warmcell.home), start=False)) as runtime:
        for name in ("one", "two"):
            runtime.open("A100", name, "", {}, no_wait=True)
        told = warmcell("status").stdout
    assert "a session that names no share takes 15GB of a device" in told
    assert told.count("A100 (simulated) (15GB of it)") == 2, told
    other = warmcell("up", "--lease-memory", "20GB")
    assert other.returncode == 1 and "takes 15GB of a device, not 20GB" in other.stderr


def test_what_is_no_share_is_refused(warmcell: Shell) -> None:
    done = warmcell("up", "--lease-memory", "20")
    assert done.returncode == 2 and "`20` names no share of memory; write it with its unit: `20GB`" in done.stderr
