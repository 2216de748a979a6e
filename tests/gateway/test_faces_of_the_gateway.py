"""One real gateway: what it shows, to whom, and that nobody without the token learns anything."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from starlette.routing import WebSocketRoute
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from remote_runtime.gateway import http_face
from remote_runtime.gateway.grpc_face import STATUS
from remote_runtime.gateway.scopes import nobody
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import CODES
from remote_runtime.wire.methods import AUTHORIZATION, FAILURE, GATEWAY, GATEWAY_SERVICE
from tests.gateway.running import ROOT, Refused, Running

METADATA = [(), ((AUTHORIZATION, "Bearer wrong"),), ((AUTHORIZATION, ""),), ((AUTHORIZATION, "Bearer \xe9"),)]
PATHS = [route.path for route in http_face._Routes(None).table()]  # type: ignore[arg-type]


def rss_kib(running: Running) -> int:
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def test_the_runtime_tells_where_it_is(shared: Running) -> None:
    status, info = shared.get("/v1/runtime")
    assert status == 200
    assert (info["grpc"], info["http"]) == (shared.grpc, shared.http)
    assert info["versions"]["protocol"] == 1
    assert (info["pid"], info["engine"]) == (shared.process.pid, "process")
    with grpc.insecure_channel(f"unix:{info['unix']}") as channel:
        stub = channel.unary_unary(f"/{GATEWAY_SERVICE}/Describe", pb.DescribeRequest.SerializeToString, pb.RuntimeInfo.FromString)
        assert stub(pb.DescribeRequest(), metadata=shared.metadata, timeout=10).pid == info["pid"]


def test_simulated_devices_are_marked_everywhere(shared: Running) -> None:
    granted = shared.open("A100", "marked")
    described = [d for d in shared.call("Describe", pb.DescribeRequest()).devices if d.model == "A100"]
    listed = [d for d in shared.get("/v1/status")[1]["devices"] if d["model"] == "A100"]
    assert all(d.simulated for d in (*granted.devices, *described))
    assert all(d["simulated"] for d in listed)
    assert len(described) == len(listed) == 2
    with pytest.raises(Refused) as refused:
        shared.open("H100", "other")
    assert "2 x A100 (simulated, price -)" in refused.value.failure.message
    shared.call("Release", pb.ReleaseRequest(session="marked"))


def test_status_shows_holder_session_and_run(shared: Running) -> None:
    granted = shared.open("A100:2", "busy")
    attached = shared.attach(granted)
    attached.start("r-1", "import time\nwhile True: time.sleep(0.01)")
    status = shared.get("/v1/status")[1]
    held = [d for d in status["devices"] if d["state"] == "held"]
    assert [d["holder"] for d in held] == ["busy", "busy"]
    assert (status["sessions"][0]["state"], status["runs"][0]["run_id"]) == ("running", "r-1")
    assert status["devices"][-1]["price_per_hour"] is None
    with pytest.raises(Refused, match="1 run is active"):
        shared.call("Release", pb.ReleaseRequest(session="busy"))
    assert shared.call("Release", pb.ReleaseRequest(session="busy", force=True)).stopped_runs[0].run_id == "r-1"


def test_the_relay_passes_large_frames_both_ways(shared: Running) -> None:
    attached = shared.attach(shared.open("cpu", "relay"))
    printed, end = attached.run("r", "print('x' * 3_000_000)\ny = 1")
    assert (len(printed), end.status) == (3_000_001, "ok")
    assert "y" in end.alive
    shared.call("Release", pb.ReleaseRequest(session="relay"))
    with pytest.raises((grpc.RpcError, AssertionError)):
        attached.until(lambda m: False)


def test_a_client_that_does_not_read_fills_no_memory_of_the_gateway(shared: Running) -> None:
    attached = shared.attach(shared.open("cpu", "slow"))
    before_kib = rss_kib(shared)
    attached.start("r", "for i in range(40): print(str(i % 10) * 999_999)")
    while shared.call("Describe", pb.DescribeRequest()).sessions[0].runs[0].state == "running":
        assert rss_kib(shared) < before_kib + 30 * 1024
    assert rss_kib(shared) < before_kib + 30 * 1024
    printed, end = attached.finish("r")
    assert (len(printed), end.status) == (40_000_000, "ok")
    shared.call("Release", pb.ReleaseRequest(session="slow"))


def test_sessions_come_and_go_quickly(shared: Running) -> None:
    for _ in range(20):
        assert shared.open("cpu", "brief").fresh
        shared.call("Release", pb.ReleaseRequest(session="brief"))


def test_a_relay_needs_the_session_s_own_token(shared: Running) -> None:
    granted = shared.open("cpu", "own")
    for wrong in (pb.Granted(session_id=granted.session_id, token="no"), pb.Granted(session_id="s-no", token=granted.token)):
        with pytest.raises(grpc.RpcError) as refused:
            shared.attach(wrong)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    shared.call("Release", pb.ReleaseRequest(session="own"))


@pytest.mark.parametrize("metadata", METADATA, ids=["none", "wrong", "empty", "not ascii"])
@pytest.mark.parametrize("name", [*GATEWAY, "NoSuchMethod"])
def test_every_method_needs_the_token_and_tells_nothing(shared: Running, name: str, metadata: tuple) -> None:
    if metadata and not metadata[0][1].isascii():
        metadata = (("authorization-bin", b"\xe9"),)
    call = shared.channel().stream_stream(f"/{GATEWAY_SERVICE}/{name}")(iter([b"\x01"]), metadata=metadata, timeout=10)
    with pytest.raises(grpc.RpcError) as refused:
        list(call)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert refused.value.details() == "the token is missing, wrong, expired or revoked"
    failure = pb.Failure.FromString(dict(refused.value.trailing_metadata())[FAILURE])
    assert (failure.code, dict(failure.detail)) == ("unauthorized", {})


@pytest.mark.parametrize("token", ["", "wrong", "wrong\u00e9".encode().decode("latin-1")])
@pytest.mark.parametrize("path", [*PATHS, "/", "/v1/nothing", "/docs", "/healthz/", "/healthz/../v1/status"])
def test_every_route_needs_the_token(shared: Running, path: str, token: str) -> None:
    status, body = shared.get(path, token)
    if path in http_face.OPEN:
        assert (status, body) == ((200, "ok") if path == "/healthz" else (404, ""))
    else:
        assert status == 401
        assert json.loads(body)["message"] == "the token is missing, wrong, expired or revoked"


WEBSOCKETS = [r.path for r in http_face._Routes(None).table() if isinstance(r, WebSocketRoute)]  # type: ignore[arg-type]


@pytest.mark.parametrize("token", [None, "", "wrong", "wrong\u00e9"])
@pytest.mark.parametrize("path", [*WEBSOCKETS, "/v1/nothing", "/v1/status"])
def test_every_websocket_needs_the_token(shared: Running, path: str, token: str | None) -> None:
    shown = {} if token is None else {"Authorization": f"Bearer {token}".encode().decode("latin-1")}
    with pytest.raises(InvalidStatus) as refused, connect(f"ws{shared.http[4:]}{path}", additional_headers=shown, proxy=None):
        pass
    response = refused.value.response
    assert response.status_code == 401
    assert json.loads(response.body)["message"] == nobody().message


def test_a_tunnel_leads_to_calls_that_need_the_token_themselves(shared: Running) -> None:
    (path,) = WEBSOCKETS
    shown = {"Authorization": f"Bearer {shared.token}"}
    with connect(f"ws{shared.http[4:]}{path}", additional_headers=shown, proxy=None) as websocket:
        websocket.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(4) + b"\x00" * 5)
        assert websocket.recv(timeout=10)[3] == 4  # HTTP/2 settings: the gRPC face answers, and asks for nothing else
        websocket.send("text is no piece of a connection")
        with pytest.raises(ConnectionClosed):
            while True:
                websocket.recv(timeout=10)


def test_the_open_route_says_no_more_with_the_token(shared: Running) -> None:
    assert shared.get("/healthz") == (200, "ok")
    assert shared.get("/v1/nothing")[0] == 404


def test_files_and_directories_are_the_owner_s_alone(shared: Running) -> None:
    mode = lambda path: stat.S_IMODE(path.stat().st_mode)  # noqa: E731
    assert (shared.home / "state" / "token").read_text() == shared.token
    assert [oct(mode(shared.home / p)) for p in ("state", "run", "state/token", "state/gateway.json")] == [
        "0o700", "0o700", "0o600", "0o600",
    ]  # fmt: skip
    assert all(not mode(p) & 0o077 for p in (shared.home / "state").rglob("*.json"))


def test_every_failure_has_a_status() -> None:
    assert set(STATUS) == set(CODES)


def test_the_gateway_is_small_and_loads_nothing_heavy(shared: Running) -> None:
    assert rss_kib(shared) < 100 * 1024
    script = "import sys, remote_runtime.gateway.serving, remote_runtime.engines.process; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = {name.split(".")[0] for name in done.stdout.split()} | set(done.stdout.split())
    assert not loaded & {"cloudpickle", "IPython", "numpy", "torch", "pandas", "remote_runtime.wire.payload"}
    assert "starlette" in loaded


def test_a_method_that_fails_in_an_unknown_way_is_logged_under_a_short_id(shared: Running) -> None:
    sessions = shared.home / "state" / "sessions"
    shared.open("cpu", "first")
    shared.call("Release", pb.ReleaseRequest(session="first"))
    os.rename(sessions, sessions.with_name("away"))
    sessions.touch()  # a file where a directory is needed: nobody has thought of that
    try:
        with pytest.raises(Refused) as refused:
            shared.open("cpu", "broken")
    finally:
        sessions.unlink()
        os.rename(sessions.with_name("away"), sessions)
    assert refused.value.status is grpc.StatusCode.INTERNAL
    assert refused.value.failure.detail["defect"] in (shared.home / "gateway.log").read_text()
    shared.open("cpu", "works again")
    shared.call("Release", pb.ReleaseRequest(session="works again"))
