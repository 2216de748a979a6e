"""Tokens: made, recognized, expired, revoked, guessed at; in memory with a clock that tests move."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from remote_runtime.gateway import tokens
from remote_runtime.gateway.store import Store
from remote_runtime.gateway.users import GUESS_S, GUESSES, Users, os_user
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from tests.gateway.running import Running, rows

OWN = tokens.fresh()


@dataclass
class Door:
    users: Users
    store: Store
    now_at: float = 1_000_000.0

    def who(self, text: str) -> str | None:
        return self.users.name_of(f"Bearer {text}".encode())

    async def add(self, user: str, *scopes: str, expires_s: float = 0.0, new_user: bool = True) -> str:
        return (await self.users.add(user, scopes, expires_s, new_user))[1]


Play = Callable[[Callable[[Door], Awaitable[None]]], None]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    def run(body: Callable[[Door], Awaitable[None]]) -> None:
        async def within() -> None:
            store = Store(tmp_path / "store.db")
            store.open()
            door = Door(None, store)  # type: ignore[arg-type]
            door.users = Users(tokens.own(OWN, "me"), store, lambda: door.now_at)
            await door.users.load()
            try:
                await asyncio.wait_for(body(door), 10)
            finally:
                store.close()

        asyncio.run(within())

    return run


def test_a_token_has_one_user_and_a_user_may_have_several(play: Play) -> None:
    async def body(door: Door) -> None:
        first, second = await door.add("ana"), await door.add("ana", "admin", new_user=False)
        assert [door.who(text) for text in (first, second, OWN, await door.add("bob"))] == ["ana", "ana", "me", "bob"]
        for shown in (b"", b"Bearer ", first.encode(), b"Bearer \xff", f"bearer {first}".encode(), b"Bearer wc_00000000_x"):
            assert door.users.name_of(shown) is None
        assert door.who(first[:-1]) is None and door.who(first + "x") is None

    play(body)


def test_a_token_file_of_before_ids_is_good_still() -> None:
    users = Users(tokens.own("an-old-token", "me"))
    for _ in range(3 * GUESSES):
        assert users.name_of(b"Bearer another") is None
    assert users.name_of(b"Bearer an-old-token") == "me"
    assert users.name_of(b"Bearer ") is None


def test_only_a_digest_is_kept_and_it_is_found_by_the_next_gateway(play: Play, tmp_path: Path) -> None:
    async def body(door: Door) -> None:
        text = await door.add("ana", "run", "publish", expires_s=60.0)
        door.who(text)
        again = Users(tokens.own(OWN, "me"), door.store, lambda: door.now_at)
        await again.load()
        assert again.caller_of(f"Bearer {text}".encode()) == door.users.caller_of(f"Bearer {text}".encode())
        assert next(t for t in again.all if t.user == "ana").used_at == door.now_at
        secret = text[len("wc_12345678_") :].encode()
        assert not any(secret in file.read_bytes() for file in tmp_path.iterdir())

    play(body)


def test_an_expired_token_opens_nothing(play: Play) -> None:
    async def body(door: Door) -> None:
        text = await door.add("ana", expires_s=60.0)
        door.now_at += 59.9
        assert door.who(text) == "ana"
        door.now_at += 0.1
        assert door.who(text) is None
        assert door.who(await door.add("ana", new_user=False)) == "ana"  # the user is still known

    play(body)


@pytest.mark.parametrize("what", ["user", "token"])
def test_what_is_revoked_opens_nothing_and_its_calls_end(play: Play, what: str) -> None:
    async def body(door: Door) -> None:
        text, other = await door.add("ana"), await door.add("ana", new_user=False)
        caller = door.users.caller_of(f"Bearer {text}".encode())
        going_on = asyncio.ensure_future(door.users.guarded(caller, asyncio.Event().wait()))
        await asyncio.sleep(0)
        await door.users.revoke("ana" if what == "user" else tokens.id_of(text))
        with pytest.raises(Failed, match="revoked"):
            await going_on
        assert (door.who(text), door.who(other)) == (None, None if what == "user" else "ana")
        again = Users(tokens.own(OWN, "me"), door.store, lambda: door.now_at)
        await again.load()
        assert again.name_of(f"Bearer {text}".encode()) is None

    play(body)


def test_a_call_ends_when_its_token_expires(play: Play) -> None:
    async def body(door: Door) -> None:
        text = await door.add("ana", expires_s=60.0)
        caller = door.users.caller_of(f"Bearer {text}".encode())
        assert await door.users.guarded(caller, asyncio.sleep(0, "done")) == "done"
        door.now_at += 59.99
        with pytest.raises(Failed, match="expired"):
            await door.users.guarded(caller, asyncio.Event().wait())

    play(body)


def test_guesses_at_one_token_are_bounded_and_shut_out_nobody_else(play: Play) -> None:
    async def body(door: Door) -> None:
        ana, bob = await door.add("ana"), await door.add("bob")
        for _ in range(GUESSES):
            assert door.who(ana) == "ana"
            assert door.who(f"{tokens.id_of(ana)}_guess") is None
        assert (door.who(ana), door.who(bob)) == (None, "bob")  # not even the right one is looked at
        door.now_at += GUESS_S
        assert door.who(ana) == "ana"
        for number in range(1000):
            assert door.who(f"wc_{number:08x}_guess") is None
        assert len(door.users._guesses) == 1

    play(body)


@pytest.mark.parametrize("name", ["", "wc_12345678", "a b", "-a", "a" * 65, "ä"])
def test_names_that_cannot_be(play: Play, name: str) -> None:
    async def body(door: Door) -> None:
        with pytest.raises(Failed, match="cannot be a user's name"):
            await door.add(name)

    play(body)


def test_what_admins_may_get_wrong_is_said(play: Play) -> None:
    async def body(door: Door) -> None:
        await door.add("ana")
        for work, words in (
            (door.add("ana"), "there is a user ana already"),
            (door.add("me"), "there is a user me already"),
            (door.add("eve", new_user=False), "there is no user or token eve"),
            (door.add("eve", "root"), "there is no scope 'root'"),
            (door.users.revoke("eve"), "there is no user or token eve"),
            (door.users.revoke("me"), "me is the account that this runtime runs as"),
        ):
            with pytest.raises(Failed, match=words):
                await work

    play(body)


def test_a_client_does_not_choose_whose_session_it_is(shared: Running) -> None:
    granted = shared.open("cpu", "mine", user="mallory", caller=pb.Caller(user="mallory"))
    (told,) = (s.user for s in shared.call("Describe", pb.DescribeRequest()).sessions if s.name == "mine")
    written = rows(shared.home, f"SELECT user FROM sessions WHERE session_id = '{granted.session_id}'")
    assert (told, written) == (os_user(), [(os_user(),)])
    shared.call("Release", pb.ReleaseRequest(session="mine"))
