from __future__ import annotations

from remote_runtime.gateway.users import Users, os_user
from remote_runtime.wire import messages_pb2 as pb
from tests.gateway.running import Running, rows


def test_a_token_has_one_name_and_a_name_may_have_several_tokens() -> None:
    users = Users({"t1": "ana", "t2": "ana", "t3": "bob"})
    assert [users.name_of(f"Bearer {token}".encode()) for token in ("t1", "t2", "t3")] == ["ana", "ana", "bob"]
    assert [users.name_of(shown) for shown in (b"", b"t1", b"Bearer t4", b"Bearer \xff", b"bearer t1")] == [None] * 5
    assert Users({}).name_of(b"") is None


def test_a_client_does_not_choose_whose_session_it_is(shared: Running) -> None:
    granted = shared.open("cpu", "mine", user="mallory")
    (told,) = (s.user for s in shared.call("Describe", pb.DescribeRequest()).sessions if s.name == "mine")
    written = rows(shared.home, f"SELECT user FROM sessions WHERE session_id = '{granted.session_id}'")
    assert (told, written) == (os_user(), [(os_user(),)])
    shared.call("Release", pb.ReleaseRequest(session="mine"))
