"""Who may come in, and what happens to frames that are damaged, doubled or in the wrong place."""

from __future__ import annotations

import os
from typing import Any

import grpc
import pytest

from remote_runtime.wire import frames, limits, versions
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.bundle import Bundle
from tests.worker.keeper.conftest import Start
from tests.worker.keeper.link import Refused, until

pytestmark = pytest.mark.usefixtures("transport")


def other_versions(**changed: Any) -> pb.Versions:
    found = pb.Versions()
    found.CopyFrom(versions.here())
    for name, value in changed.items():
        setattr(found, name, value)
    return found


STRANGERS = {
    "wrong token": ({"token": "guess"}, "unauthorized"),
    "no token": ({"token": ""}, "unauthorized"),
    "another session": ({"session_id": "s2"}, "unauthorized"),
    "another protocol": ({"versions": other_versions(protocol=99)}, "version-mismatch"),
    "another python": ({"versions": other_versions(python="2.7.18")}, "version-mismatch"),
}


@pytest.mark.parametrize("who", STRANGERS)
def test_a_stranger_gets_one_failure_and_nothing_else(start: Start, who: str) -> None:
    hello, code = STRANGERS[who]
    keeper = start().claim()
    stranger = keeper.attach(**hello)
    failure = stranger.get().failure
    assert failure.code == code and failure.hint
    assert "nb" not in failure.message.split() and "s1" not in failure.message
    with pytest.raises(EOFError):
        stranger.get()
    assert keeper.info().attached_count == 0


def test_versions_that_differ_are_shown_as_a_table(start: Start) -> None:
    failure = start().claim().attach(versions=other_versions(python="2.7.18")).get().failure
    assert "python   2.7.18  3." in failure.message


def test_nobody_attaches_before_the_claim(start: Start) -> None:
    assert start().attach(token="", session_id="").get().failure.code == "unauthorized"


@pytest.mark.parametrize("first", [b"", b"\x99", frames.control(pb.ToWorker(list_runs=pb.ListRuns()))])
def test_a_stream_that_begins_otherwise_is_refused(start: Start, first: bytes) -> None:
    link = start().claim().stranger()
    link.raw(first)
    assert link.get().failure.code == "protocol"


@pytest.mark.parametrize("name", ["Claim", "Renew", "Notice", "Stop"])
def test_the_gateways_calls_need_the_secret(start: Start, name: str) -> None:
    from remote_runtime.wire import methods

    keeper = start()
    with pytest.raises(grpc.RpcError) as refused:
        keeper.call(name, methods.WORKER[name].request(), secret="guess")
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert keeper.info().session_id == ""


def test_a_worker_is_claimed_once(start: Start) -> None:
    keeper = start().claim()
    reply = keeper.call("Claim", pb.ClaimRequest(session_id="s2", token="t2"))
    assert not reply.claimed and "already claimed" in reply.reason
    assert keeper.info().session_id == "s1"


def test_the_socket_is_the_users_alone(start: Start) -> None:
    assert os.stat(start().path).st_mode & 0o077 == 0


# ---- damage ----------------------------------------------------------------------------------------------------

DATA_OF_NOTHING = bytes((frames.DATA,)) + b"\0\0\0\x07" + bytes(8) + b"x"

DAMAGED = {
    "empty": b"",
    "another version": bytes((0x21,)) + b"abc",
    "cut control": frames.control(pb.ToWorker(run=pb.Run(run_id="r1", source="pass")))[:-3],
    "cut data": bytes((frames.DATA, 0, 0)),
    "data of nothing": DATA_OF_NOTHING,
    "no body": frames.control(pb.ToWorker(request_id=5)),
    "second hello": frames.control(pb.ToWorker(hello=pb.Hello())),
    "run without id": frames.control(pb.ToWorker(run=pb.Run(source="pass"))),
}


@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_frame_is_a_failure_and_the_session_lives_on(start: Start, how: str) -> None:
    client = start().claim().client()
    client.raw(DAMAGED[how])
    assert client.get().failure.code == "protocol"
    assert client.run("pass").end().status == "ok"


def upload(source: str, size_bytes: int, bundle_id: int = 1, run_id: str = "r1") -> list[bytes]:
    """The frames of a run with a bundle."""
    bundle = Bundle(b"p", (memoryview(bytes(size_bytes)),))
    message = pb.ToWorker(request_id=77, run=pb.Run(run_id=run_id, source=source))
    frames.announce(message.run.bundle, bundle, bundle_id)
    return [frames.control(message), *frames.data(bundle, bundle_id)]


BIG = 3 * limits.CHUNK_BYTES


def test_values_reach_the_user_process_whole(start: Start) -> None:
    client = start().claim().client()
    message = pb.ToWorker(request_id=9, put=pb.Put())
    bundle = Bundle(b"pickle", (memoryview(os.urandom(50 * limits.CHUNK_BYTES)),))
    frames.announce(message.put.bundle, bundle, 1)
    for frame in (frames.control(message), *frames.data(bundle, 1)):
        client.raw(frame)
    assert client.get().removed.freed_bytes == bundle.size_bytes


@pytest.mark.parametrize("wrong", ["doubled", "left out", "swapped", "announced twice"])
def test_a_damaged_upload_runs_nothing_and_can_come_again(start: Start, wrong: str) -> None:
    client = start().claim().client()
    head, one, two, *rest = upload("channel.text('ran')", BIG)
    order = {
        "doubled": [one, one, two],
        "left out": [two],
        "swapped": [two, one],
        "announced twice": [head, one, one],
    }
    for frame in (head, *order[wrong], *rest):
        client.raw(frame)
    failure = client.get().failure
    assert failure.code == "protocol" and "damaged" in failure.message or "twice" in failure.message
    while client.ask(list_runs=pb.ListRuns()).runs.runs:
        pass
    for frame in upload("channel.text('ran')", BIG):
        client.raw(frame)
    assert [e.WhichOneof("body") for e in client.events()] == ["started", "stream", "end"]


def test_an_upload_whose_client_left_can_come_again(start: Start) -> None:
    keeper = start().claim()
    head, *rest = upload("channel.text('ran')", BIG)
    gone = keeper.client()
    for frame in (head, rest[0]):
        gone.raw(frame)
    until(lambda: keeper.info().runs, "the run")
    gone.close()
    until(lambda: not keeper.info().runs, "the run to be taken back")
    client = keeper.client()
    for frame in (head, *rest):
        client.raw(frame)
    assert client.end().status == "ok"


def test_an_upload_waits_behind_a_run_and_an_interrupt_passes_it(start: Start) -> None:
    client = start().claim().client()
    client.run("channel.text('on'); signal.pause()", "r0").until_text("on")
    head, *rest = upload("channel.text('ran')", BIG)
    client.raw(head)
    client.raw(rest[0])
    client.send(interrupt=pb.Interrupt(run_id="r0"))
    assert client.end("r0").status == "interrupted"
    for frame in rest[1:]:
        client.raw(frame)
    assert client.end("r1").status == "ok"


def test_an_upload_can_be_cancelled_half_way(start: Start) -> None:
    client = start().claim().client()
    head, *rest = upload("pass", BIG)
    for frame in (head, rest[0]):
        client.raw(frame)
    client.send(interrupt=pb.Interrupt(run_id="r1", why="cancelled"))
    for frame in rest[1:]:
        client.raw(frame)
    assert client.end().status == "cancelled"
    assert client.run("pass", "r2").end("r2").status == "ok"


def test_two_clients_may_number_their_bundles_alike(start: Start) -> None:
    keeper = start().claim()
    one, two = keeper.client(), keeper.client()
    uploads = upload("pass", BIG, 1, "r1"), upload("pass", BIG, 1, "r2")
    for first, second in zip(*uploads):
        one.raw(first)
        two.raw(second)
    assert one.end("r1").status == two.end("r2").status == "ok"


def test_values_of_a_request_refused_as_busy_are_let_go(start: Start) -> None:
    client = start().claim().client()
    client.run("channel.text('on'); signal.pause()").until_text("on")
    message = pb.ToWorker(request_id=9, put=pb.Put())
    bundle = Bundle(b"p", (memoryview(bytes(BIG)),))
    frames.announce(message.put.bundle, bundle, 1)
    for frame in (frames.control(message), *frames.data(bundle, 1)):
        client.raw(frame)
    with pytest.raises(Refused, match="busy"):
        list(client.events())
    client.send(interrupt=pb.Interrupt(run_id="r1"))
    assert client.end().status == "interrupted"
