"""Whatever gRPC says becomes one of our errors, in one place, with words and a way on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest

from kernel_proxy.channel import STATUSES, Address, BrokenStream, Door, failure_of, is_away
from kernel_proxy.errors import CLASSES, NotFound, RuntimeUnavailable, WarmcellError, from_failure
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import CODES
from remote_runtime.wire.methods import FAILURE, GATEWAY, GATEWAY_SERVICE, WORKER_SERVICE
from tests.client.standin import GatewayStandIn, Worker, serve_gateway


class Status(grpc.RpcError):
    """What a call raises, with a status of the test's choice."""

    def __init__(self, code: grpc.StatusCode, details: str = "", failure: pb.Failure | None = None) -> None:
        self._code, self._details = code, details
        self._metadata = ((FAILURE, failure.SerializeToString()),) if failure is not None else ()

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> Any:
        return self._metadata


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_every_status_has_words_and_a_hint(code: grpc.StatusCode) -> None:
    failure = failure_of(Status(code, "because."), "the gateway at x:1")
    assert failure.code in CODES and failure.code in CLASSES
    assert failure.message.startswith("the gateway at x:1 ") and failure.message.endswith(": because")
    assert failure.hint
    assert isinstance(from_failure(failure), WarmcellError)


def test_no_status_is_listed_that_does_not_exist() -> None:
    assert set(STATUSES) == set(grpc.StatusCode)


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_failure_of_ours_passes_unchanged(code: str) -> None:
    sent = pb.Failure(code=code, message="what happened", hint="what to do", detail={"a": "b"})
    assert failure_of(Status(grpc.StatusCode.INTERNAL, "other", sent), "the gateway") == sent


def test_a_server_that_answers_is_not_away(short: Path) -> None:
    door = Door(GATEWAY_SERVICE, Address(f"unix:{short}/g.sock"), "t")
    with serve_gateway(GatewayStandIn(Worker()), short / "g.sock"), pytest.raises(NotFound) as caught:
        door.call("Release", pb.ReleaseRequest(session="nb"))
    assert str(caught.value) == "there is no session nb\nhint: see `warmcell ps`"
    assert not is_away(caught.value)
    door.close()


def test_nobody_there_is_unavailable_and_away(short: Path) -> None:
    door = Door(GATEWAY_SERVICE, Address(f"unix:{short}/nobody.sock"), "t")
    with pytest.raises(RuntimeUnavailable, match="the gateway at unix:.*nobody.sock cannot be reached") as caught:
        door.call("Describe", pb.DescribeRequest())
    assert is_away(caught.value)
    door.close()


def test_a_stream_to_nobody_breaks(short: Path) -> None:
    door = Door(WORKER_SERVICE, Address(f"unix:{short}/nobody.sock"), "t")
    with pytest.raises(BrokenStream) as caught:
        door.frames("Attach", [b"x"]).serve(print)
    assert caught.value.failure.code == "unavailable"
    door.close()


def test_a_certificate_bundle_that_cannot_be_read(short: Path) -> None:
    door = Door(GATEWAY_SERVICE, Address("localhost:1", secure=True, ca_file=str(short / "none.pem")), "t")
    with pytest.raises(RuntimeUnavailable, match=r"none\.pem cannot be read"):
        door.call("Describe", pb.DescribeRequest())


def test_the_stand_in_serves_the_whole_table() -> None:
    assert all(hasattr(GatewayStandIn, name) for name in GATEWAY)


def test_a_door_that_is_closed_meanwhile_says_so(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(GATEWAY_SERVICE, Address(f"unix:{short}/nobody.sock"), "t")
    call = door._callable("Stop")
    door.close()
    monkeypatch.setattr(door, "_callable", lambda method: call)
    with pytest.raises(RuntimeUnavailable, match="was closed in this process"):
        door.call("Stop", pb.StopRequest())
