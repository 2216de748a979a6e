"""Sessions that name a share of a device hold it together; one that names none has it alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import versions
from tests.gateway.conftest import Play
from tests.gateway.rig import A100, Rig, rig

GB = 10**9


def test_two_sessions_share_a_device_and_the_runtime_tells(play: Play) -> None:
    async def body(rig: Rig) -> None:
        one, two = await rig.open("A100/20GB", "one"), await rig.open("A100", "two", device_memory_bytes=15 * GB)
        assert [c.granted.devices[0].id for c in (one, two)] == [A100.id, A100.id]
        assert all(rig.keeper(c).claim.shared_devices for c in (one, two))
        info = await rig.gateway.describe(pb.DescribeRequest(versions=versions.here()))
        assert info.devices[0].holder == "one, two"
        assert [s.device_memory_bytes for s in info.sessions] == [20 * GB, 15 * GB]

    play(body)


def test_one_that_is_exclusive_waits_until_the_device_is_its_own(play: Play) -> None:
    async def body(rig: Rig) -> None:
        await rig.open("A100/20GB", "one")
        alone = await rig.open("A100/5GB", "alone", exclusive=True)
        assert alone.waiting.reason == "A100-40GB is held by session one"
        await rig.gateway.release(pb.ReleaseRequest(session="one"))
        await rig.settle()
        assert alone.granted and not rig.keeper(alone).claim.shared_devices

    play(body)


def test_a_share_outlives_the_gateway(tmp_path: Path) -> None:
    async def within() -> None:
        async with rig(tmp_path, A100) as first:
            await first.open("A100/20GB", "one")
        async with rig(tmp_path, A100, before=first) as second:
            assert (await second.open("A100/30GB", "big", no_wait=True)).failure.code == "target-busy"
            small = await second.open("A100/20GB", "small")
            assert small.waiting.reason == "starting a worker", "it has the device"

    asyncio.run(within())


def test_the_runtimes_default_share_holds_where_none_is_named(play: Play) -> None:
    async def body(rig: Rig) -> None:
        one, two = await rig.open("A100", "one"), await rig.open("A100", "two")
        assert one.granted and two.granted
        whole = await rig.open("A100", "whole", exclusive=True)
        assert whole.waiting.place == 1

    play(body, lease_memory_bytes=16 * GB)
