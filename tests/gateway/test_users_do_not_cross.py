"""What one user sees, stops and waits for never names, touches or shares what is another's."""

from __future__ import annotations

import pytest

from remote_runtime.gateway.directories import Directories, key_of
from remote_runtime.gateway.users import os_user
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from tests.gateway.conftest import Play
from tests.gateway.rig import A100, SECOND, Client, Rig

ANA, BOB = pb.Caller(user="ana", scopes=["run"]), pb.Caller(user="bob", scopes=["run"])
ROOT = pb.Caller(user="root", scopes=["admin"])


async def opened(rig: Rig, caller: pb.Caller, session: str, target: str = "A100", **more: object) -> Client:
    return await rig.open(target, session, user=caller.user, caller=caller, **more)


def test_a_name_belongs_to_its_user(play: Play) -> None:
    async def body(rig: Rig) -> None:
        hers, his = await opened(rig, ANA, "team"), await opened(rig, BOB, "team")
        again = await opened(rig, ANA, "team")
        assert his.granted.fresh and not again.granted.fresh
        assert again.granted.session_id == hers.granted.session_id != his.granted.session_id
        directories = {rig.keeper(one).claim.directory for one in (hers, his)}
        assert len(directories) == 2

    play(body, devices=(A100, SECOND))


def test_an_id_opens_nothing_for_another_user(play: Play) -> None:
    async def body(rig: Rig) -> None:
        hers = await opened(rig, ANA, "hers")
        for name in ("hers", hers.granted.session_id):
            assert (await opened(rig, BOB, name, must_exist=True)).failure.code == "not-found"
            with pytest.raises(Failed, match="there is no session"):
                await rig.gateway.release(pb.ReleaseRequest(session=name, caller=BOB))
        asked = pb.ExitRequest(session_id=hers.granted.session_id, caller=BOB)
        assert (await rig.gateway.exit(asked)).detail == "this runtime does not know the session"
        assert hers.granted.session_id in rig.gateway._sessions.by_id

    play(body)


def test_the_relay_asks_whose_session_it_is(play: Play) -> None:
    async def body(rig: Rig) -> None:
        granted = (await opened(rig, ANA, "hers")).granted
        with pytest.raises(Failed, match="is not known"):
            await rig.gateway.relay((granted.session_id, granted.token), None, None, BOB)  # type: ignore[arg-type]
        await rig.gateway.release(pb.ReleaseRequest(session="hers", caller=ANA))
        with pytest.raises(Failed, match="is not known"):  # that it ended is not told either
            await rig.gateway.relay((granted.session_id, granted.token), None, None, BOB)  # type: ignore[arg-type]
        with pytest.raises(Failed, match="is gone"):
            await rig.gateway.relay((granted.session_id, granted.token), None, None, ANA)  # type: ignore[arg-type]

    play(body)


def test_each_sees_the_own_sessions_and_an_admin_all(play: Play) -> None:
    async def body(rig: Rig) -> None:
        await opened(rig, ANA, "secret-plan"), await opened(rig, BOB, "other")
        seen = {}
        for caller in (ANA, BOB, ROOT):
            info = await rig.gateway.describe(pb.DescribeRequest(caller=caller))
            assert info.caller == caller
            seen[caller.user] = [s.name for s in info.sessions], [d.holder for d in info.devices]
        assert seen == {
            "ana": (["secret-plan"], ["secret-plan", "a session of bob", ""]),
            "bob": (["other"], ["a session of ana", "other", ""]),
            "root": (["secret-plan", "other"], ["secret-plan", "other", ""]),
        }

    play(body, devices=(A100, SECOND))


def test_who_waits_is_told_whose_session_is_in_the_way_and_no_more(play: Play) -> None:
    async def body(rig: Rig) -> None:
        holder = await opened(rig, ANA, "secret-plan")
        rig.run(holder, limit_s=90)
        await rig.look()
        his, hers = await opened(rig, BOB, "b"), await opened(rig, ANA, "a")
        assert his.waiting.reason == "A100-40GB is held by a session of ana"
        assert hers.waiting.reason == "A100-40GB is held by session secret-plan"
        assert his.waiting.rests_on == "the --timeout of the run in a session of ana, and its countdown"
        assert "secret-plan" not in str(his.updates)
        refused = await opened(rig, BOB, "c", no_wait=True)
        assert "secret-plan" not in str(refused.failure) + str(refused.failure.detail)

    play(body)


def test_the_holder_is_told_who_waits_and_no_more(play: Play) -> None:
    async def body(rig: Rig) -> None:
        holder = await opened(rig, ANA, "first")
        keeper = rig.keeper(holder)
        await rig.look(5)
        his = await opened(rig, BOB, "secret-plan")
        assert "because a session of bob waits for what it holds" in keeper.notices[-1].text
        await rig.look(61)
        assert his.granted
        ended = await rig.gateway.exit(pb.ExitRequest(session_id=holder.granted.session_id, caller=ANA))
        assert ended.reason == "lease" and "secret-plan" not in ended.detail

    play(body)


def test_waiting_for_a_name_is_no_wait_for_another_user_s(play: Play) -> None:
    async def body(rig: Rig) -> None:
        rig.run(await opened(rig, ANA, "holds"))
        await rig.look()
        await opened(rig, ANA, "nb")
        his = await opened(rig, BOB, "nb", "cpu", no_wait=True)
        assert his.granted

    play(body)


def test_an_admin_releases_by_id_or_by_a_name_that_only_one_has(play: Play) -> None:
    async def body(rig: Rig) -> None:
        await opened(rig, ANA, "one", "cpu")
        both = [await opened(rig, who, "both", "cpu") for who in (ANA, BOB)]
        await rig.gateway.release(pb.ReleaseRequest(session="one", caller=ROOT))
        with pytest.raises(Failed, match="2 users have a session named both") as refused:
            await rig.gateway.release(pb.ReleaseRequest(session="both", caller=ROOT))
        assert both[0].granted.session_id in refused.value.hint
        await rig.gateway.release(pb.ReleaseRequest(session=both[1].granted.session_id, caller=ROOT))
        assert [s.record.user for s in rig.gateway._sessions.by_id.values()] == ["ana"]
        assert (await opened(rig, ROOT, "both", "cpu")).granted.fresh  # a name opens the admin's own

    play(body)


def test_a_restarted_gateway_keeps_users_apart(play: Play) -> None:
    async def body(rig: Rig) -> None:
        hers = await opened(rig, ANA, "team")
        await rig.gateway.release(pb.ReleaseRequest(session="team", caller=ANA))
        rig.gateway._sessions.ended.clear()
        await rig.gateway._sessions.adopt([])
        ended = rig.gateway._sessions.ended[hers.granted.session_id]
        assert (ended.user, ended.reason) == ("ana", "stopped")

    play(body)


def test_the_account_s_own_files_stay_where_they_were(play: Play, tmp_path) -> None:
    async def body(rig: Rig) -> None:
        own = pb.Caller(user=os_user(), scopes=["admin"])
        granted = await opened(rig, own, "nb", "cpu")
        assert rig.keeper(granted).claim.directory == str(tmp_path / "sessions" / key_of("nb") / "files")

    play(body)


def test_files_of_one_name_are_apart_by_user(tmp_path) -> None:
    directories = Directories(tmp_path)
    (directories.take("nb", "ana") / "x").touch()
    directories.free("nb", "ana")
    assert not list(directories.take("nb", "bob").iterdir()) and not list(directories.take("nb").iterdir())
    assert [path.name for path in directories.take("nb", "ana").iterdir()] == ["x"]
