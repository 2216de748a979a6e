"""A worker is warmed for whoever will soon ask, where that costs nobody anything."""

from __future__ import annotations

import pytest

from remote_runtime.engines.base import Device
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from tests.gateway.conftest import Play
from tests.gateway.rig import A100, SECOND, Rig


async def warm(rig: Rig, target: str, **more: object) -> pb.WarmReply:
    reply = await rig.gateway.warm(pb.WarmRequest(target=target, **more))
    await rig.settle()
    return reply


def test_a_worker_that_is_bound_to_its_device_is_there_before_it_is_asked_for(play: Play) -> None:
    async def body(rig: Rig) -> None:
        rig.engine.late_devices = False
        assert (await warm(rig, "A100")).warming
        assert [w.spec.devices for w in rig.engine.workers.values()] == [(), (A100.id,)]
        client = await rig.open("A100", "nb")
        assert client.granted.unix == f"/{rig.engine.launched[1]}"
        assert [u.WhichOneof("body") for u in client.updates] == ["granted"]

    play(body)


def test_each_device_has_workers_of_its_own(play: Play) -> None:
    async def body(rig: Rig) -> None:
        rig.engine.late_devices = False
        one, two = await rig.open("A100", "one"), await rig.open("A100", "two")
        held = {c.granted.unix: c.granted.devices[0].id for c in (one, two)}
        started = {f"/{w.spec.worker_id}": w.spec.devices for w in rig.engine.workers.values()}
        assert {started[unix] for unix in held} == {(A100.id,), (SECOND.id,)}
        assert all(started[unix] == (device_id,) for unix, device_id in held.items())

    play(body, devices=(A100, SECOND))


def test_what_is_held_is_not_warmed_and_nobody_is_told_to_go(play: Play) -> None:
    async def body(rig: Rig) -> None:
        client = await rig.open("A100", "nb")
        reply = await warm(rig, "A100")
        assert not reply.warming and reply.reason
        await rig.look(1000.0)
        assert client.granted and not rig.keeper(client).notices

    play(body)


@pytest.mark.parametrize(
    ("request_", "code"),
    [({"target": "A100:0"}, "bad-target"), ({"target": "cpu", "environment": {"image": "x"}}, "unsupported")],
)
def test_what_cannot_be_opened_cannot_be_warmed(play: Play, request_: dict, code: str) -> None:
    async def body(rig: Rig) -> None:
        with pytest.raises(Failed) as failed:
            await warm(rig, **request_)
        assert failed.value.code == code
        assert len(rig.engine.launched) == 1

    play(body)


def test_a_simulated_device_binds_no_worker(play: Play) -> None:
    async def body(rig: Rig) -> None:
        rig.engine.late_devices = False
        assert (await warm(rig, "A10G")).warming
        assert len(rig.engine.launched) == 1

    play(body, devices=(Device("sim-A10G-0", "A10G", 24 << 30, simulated=True),))
