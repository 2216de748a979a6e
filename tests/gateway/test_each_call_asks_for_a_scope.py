"""The tables of methods and routes, walked with every kind of token: refused alike, and only what may be is done."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from remote_runtime.gateway import http_face, scopes
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.methods import FAILURE, GATEWAY, GATEWAY_SERVICE
from tests.gateway.running import Running, rows

ROUTES = [route.path for route in http_face._Routes(None).table()]  # type: ignore[arg-type]
REFUSED = ("missing", "wrong", "unknown id", "expired", "revoked")
GOOD = ("run", "publish", "admin")


@pytest.fixture(scope="module")
def tokens(shared: Running) -> dict[str, str]:
    def add(user: str, *scopes: str, expires_s: float = 0.0) -> str:
        asked = pb.AddTokenRequest(user=user, scopes=scopes, expires_s=expires_s, new_user=True)
        return shared.call("AddToken", asked).token

    made = {scope: add(f"user-{scope}", scope) for scope in GOOD}
    expired, revoked = add("late", "admin", expires_s=1e-6), add("gone", "admin")
    shared.call("Revoke", pb.RevokeRequest(what="gone"))
    guessed = add("guessed", "publish")  # whose guesses are bounded, so that it is nobody's who must get in
    wrong = guessed[:-1] + ("A" if guessed[-1] != "A" else "B")
    return {**made, "missing": "", "wrong": wrong, "unknown id": "wc_00000000_x", "expired": expired, "revoked": revoked}


def answer(shared: Running, name: str, token: str) -> tuple[grpc.StatusCode, str | None, pb.Failure]:
    """Call a method with a request that can be read by none; refusals come before anything is read."""
    metadata = [("authorization", f"Bearer {token}")] if token else []
    with grpc.insecure_channel(shared.grpc) as channel:
        call = channel.stream_stream(f"/{GATEWAY_SERVICE}/{name}")(iter([b"\xff"]), metadata=metadata, timeout=10)
        try:
            list(call)
        except grpc.RpcError as error:
            wire = dict(error.trailing_metadata()).get(FAILURE, b"")
            return error.code(), error.details(), pb.Failure.FromString(wire)
        return grpc.StatusCode.OK, "", pb.Failure()


def test_the_tables_hold_every_method_and_route() -> None:
    assert set(scopes.METHODS) == set(GATEWAY)
    assert set(scopes.ROUTES) == set(ROUTES)
    assert set(scopes.METHODS.values()) | set(scopes.ROUTES.values()) <= {*scopes.SCOPES, scopes.ANY, scopes.OPEN}


@pytest.mark.parametrize("name", [*GATEWAY, "NoSuchMethod"])
def test_no_method_tells_one_bad_token_from_another(shared: Running, tokens: dict[str, str], name: str) -> None:
    answers = {str(answer(shared, name, tokens[kind])) for kind in REFUSED}
    assert len(answers) == 1
    assert "UNAUTHENTICATED" in answers.pop()


@pytest.mark.parametrize("path", [*ROUTES, "/v1/nothing"])
def test_no_route_tells_one_bad_token_from_another(shared: Running, tokens: dict[str, str], path: str) -> None:
    answers = {shared.get(path, tokens[kind]) for kind in REFUSED}
    assert len(answers) == 1
    assert path in http_face.OPEN or answers.pop()[0] == 401


@pytest.mark.parametrize("scope", GOOD)
@pytest.mark.parametrize("name", GATEWAY)
def test_a_method_asks_for_its_scope(shared: Running, tokens: dict[str, str], name: str, scope: str) -> None:
    status, _, failure = answer(shared, name, tokens[scope])
    allowed = scopes.METHODS[name] in (scopes.ANY, scope) or scope == "admin"
    assert (status is grpc.StatusCode.PERMISSION_DENIED) is not allowed
    if not allowed:
        assert failure.code == "forbidden" and f"the scope {scopes.METHODS[name]}" in failure.message
        assert tokens[scope] not in str(failure)


def test_refusals_leave_nothing_behind(shared: Running, tokens: dict[str, str]) -> None:
    before = rows(shared.home, "SELECT COUNT(*) FROM sessions"), (shared.home / "gateway.log").read_bytes()
    for name in GATEWAY:
        for kind in REFUSED:
            answer(shared, name, tokens[kind])
    assert (rows(shared.home, "SELECT COUNT(*) FROM sessions"), (shared.home / "gateway.log").read_bytes()) == before


@pytest.fixture(autouse=True, scope="module")
def _all_gone(shared: Running) -> Iterator[None]:
    yield
    assert not shared.call("Describe", pb.DescribeRequest()).sessions


def test_a_route_that_no_table_knows_asks_for_admin(tokens: dict[str, str]) -> None:
    from starlette.routing import Route

    async def new(request: object) -> None: ...

    gate = http_face._Gate(None, None, [Route("/v1/new/{id}", new)])  # type: ignore[arg-type]
    assert gate._needed({"type": "http", "path": "/v1/new/7", "method": "GET"}) == scopes.ADMIN
    assert gate._needed({"type": "http", "path": "/nowhere", "method": "GET"}) == scopes.ANY
