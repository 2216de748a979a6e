"""A revoked token, at a real gateway: what is open under it ends, what runs goes on unless it is told to stop."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.methods import FAILURE
from tests.gateway.running import Attached, Refused, Running


@pytest.fixture
def ana(shared: Running) -> Iterator[Running]:
    made = shared.call("AddToken", pb.AddTokenRequest(user="ana", scopes=["run"], new_user=True))
    yield shared.by(made.token)
    shared.call("Revoke", pb.RevokeRequest(what="ana", stop=True))
    assert not shared.call("Describe", pb.DescribeRequest()).sessions


def revoked(words: grpc.RpcError) -> bool:
    failure = pb.Failure.FromString(dict(words.trailing_metadata())[FAILURE])
    return words.code() is grpc.StatusCode.UNAUTHENTICATED and failure.code == "unauthorized"


def busy(ana: Running, session: str, target: str = "cpu") -> tuple[pb.Granted, Attached]:
    granted = ana.open(target, session)
    attached = ana.attach(granted)
    attached.start("r", "import time\nwhile True: time.sleep(0.01)")
    return granted, attached


def test_an_open_relay_ends_and_the_run_goes_on(shared: Running, ana: Running) -> None:
    granted, attached = busy(ana, "work")
    reply = shared.call("Revoke", pb.RevokeRequest(what="ana"))
    assert (list(reply.living), list(reply.stopped), len(reply.revoked)) == (["work"], [], 1)
    with pytest.raises(grpc.RpcError) as ended:
        attached.until(lambda message: False)
    assert revoked(ended.value)
    with pytest.raises(grpc.RpcError) as ended:
        ana.attach(granted)  # the session's own token is no way around it
    assert revoked(ended.value)
    (session,) = shared.call("Describe", pb.DescribeRequest()).sessions
    assert (session.user, session.state) == ("ana", "running")


def test_whoever_waits_waits_no_more(shared: Running, ana: Running) -> None:
    busy(ana, "holder", "A100:2")
    waiting = ana.updates("A100", "waiter")
    while not next(waiting).waiting.place:
        pass
    shared.call("Revoke", pb.RevokeRequest(what="ana"))
    with pytest.raises(grpc.RpcError) as ended:
        list(waiting)
    assert revoked(ended.value)
    assert [s.name for s in shared.call("Describe", pb.DescribeRequest()).sessions] == ["holder"]


def test_stop_releases_the_user_s_sessions_alone(shared: Running, ana: Running) -> None:
    busy(ana, "work")
    shared.open("cpu", "mine")
    reply = shared.call("Revoke", pb.RevokeRequest(what="ana", stop=True))
    assert list(reply.stopped) == ["work"]
    assert [s.name for s in shared.call("Describe", pb.DescribeRequest()).sessions] == ["mine"]
    shared.call("Release", pb.ReleaseRequest(session="mine"))


def test_one_of_two_tokens(shared: Running, ana: Running) -> None:
    second = ana.by(shared.call("AddToken", pb.AddTokenRequest(user="ana")).token)
    shared.call("Revoke", pb.RevokeRequest(what=second.token[: len("wc_12345678")]))
    assert ana.call("Describe", pb.DescribeRequest()).caller.user == "ana"
    with pytest.raises(Refused, match="expired or revoked"):
        second.call("Describe", pb.DescribeRequest())
    listed = {t.token_id: t for t in shared.call("ListTokens", pb.ListTokensRequest()).tokens if t.user == "ana"}
    assert second.token[12:] not in str(listed)
    assert listed[second.token[:11]].HasField("revoked_at") and not listed[ana.token[:11]].HasField("revoked_at")


def test_a_session_of_the_other_user_is_not_there(shared: Running, ana: Running) -> None:
    granted = shared.open("cpu", "mine")
    with pytest.raises(grpc.RpcError) as refused:
        ana.attach(granted)  # with the session's own token, as if it had leaked
    assert "is not known" in refused.value.details()
    status = ana.get("/v1/status")[1]
    assert (status["sessions"], status["runs"]) == ([], [])
    with pytest.raises(Refused, match="there is no session"):
        ana.call("Release", pb.ReleaseRequest(session=granted.session_id))
    shared.call("Release", pb.ReleaseRequest(session="mine"))
