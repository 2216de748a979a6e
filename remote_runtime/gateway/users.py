"""Users: whose call it is, by the token that it shows, and for how long.

    "Bearer TOKEN" -> caller_of -> Caller, or nobody        guarded(caller, work): work ends when the token does
    add, revoke    -> store and memory; what is asked at each call is in memory alone

A wrong token costs a digest, and after some wrong ones with the id of a right one not even that. The time that a
refusal takes tells nothing: it is one lookup and one comparison, whether the id is known or not.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import pwd
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from remote_runtime.gateway import tokens
from remote_runtime.gateway.scopes import nobody
from remote_runtime.gateway.store import Store
from remote_runtime.gateway.tokens import Token
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed

T = TypeVar("T")

USED_S = 60.0
"""Between two notes of when a token was used."""

GUESSES, GUESS_S = 20, 3.0
"""So many wrong secrets are looked at for one id, and one more after each so many seconds."""

_NO_TOKEN = Token("", "", (), tokens.digest_of(tokens.fresh()))
_BEARER = b"Bearer "


class Users:
    """Who may call.

    Args:
        own: The token in the account's own file.
        store: Where the others are; None: there are none, and none can be added.
        clock: Seconds since the epoch: expiry is a time of day, and outlives every process.
    """

    def __init__(self, own: Token, store: Store | None = None, clock: Callable[[], float] = time.time) -> None:
        self.own, self._store, self._clock = own, store, clock
        self._tokens = {own.token_id: own}
        self._ended: dict[str, asyncio.Event] = {}
        self._guesses: dict[str, tuple[float, float]] = {}
        self._noted_at: dict[str, float] = {}

    async def load(self) -> None:
        """Read the tokens that the store has.

        Raises:
            StoreFailed: They cannot be read.
        """
        rows = await self._store.read(tokens.TOKENS) if self._store is not None else []
        self._tokens = {token.token_id: token for token in map(tokens.token_of, rows)} | {self.own.token_id: self.own}

    @property
    def all(self) -> list[Token]:
        """Every token, good or not."""
        return list(self._tokens.values())

    # ---- at each call -------------------------------------------------------------------------------------

    def caller_of(self, shown: bytes) -> pb.Caller | None:
        """Return whose good token is shown, None for any other.

        Args:
            shown: The value of the `authorization` header.
        """
        text = shown[len(_BEARER) :].decode("utf-8", "surrogateescape") if shown.startswith(_BEARER) else ""
        token_id = tokens.id_of(text)
        known, now_at = self._tokens.get(token_id, _NO_TOKEN), self._clock()
        if known.token_id and self._left(token_id, now_at) < 1.0:
            return None
        if not hmac.compare_digest(known.digest, tokens.digest_of(text)):
            self._guessed(known.token_id, now_at)
            return None
        if not known.is_good(now_at):
            return None
        self._note_use(known, now_at)
        return tokens.caller_of(known)

    def name_of(self, shown: bytes) -> str | None:
        """Return the user whose good token is shown, None for any other."""
        caller = self.caller_of(shown)
        return caller.user if caller is not None else None

    def _left(self, token_id: str, now_at: float) -> float:
        """Return how many guesses at a token are still looked at.

        Only ids that exist are counted, so nobody who does not know one can fill memory or shut its user out.
        """
        left, at = self._guesses.get(token_id, (float(GUESSES), now_at))
        return min(GUESSES, left + max(0.0, now_at - at) / GUESS_S)

    def _guessed(self, token_id: str, now_at: float) -> None:
        if token_id:
            self._guesses[token_id] = (self._left(token_id, now_at) - 1.0, now_at)

    def _note_use(self, token: Token, now_at: float) -> None:
        self._tokens[token.token_id] = used = replace(token, used_at=now_at)
        if not token.own and self._store is not None and now_at - self._noted_at.get(token.token_id, 0.0) > USED_S:
            self._noted_at[token.token_id] = now_at
            self._store.note(tokens.token_used(used))

    async def guarded(self, caller: pb.Caller, work: Awaitable[T]) -> T:
        """Do something for as long as a caller's token is good.

        Raises:
            Failed: code "unauthorized", when it was revoked or expired meanwhile; the work is cancelled.
        """
        over = self._ended.setdefault(caller.token_id, asyncio.Event())
        task, ended = asyncio.ensure_future(work), asyncio.ensure_future(over.wait())
        left_s = max(0.0, caller.expires_at - self._clock()) if caller.HasField("expires_at") else None
        try:
            await asyncio.wait((task, ended), timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise nobody()
            return task.result()
        finally:
            task.cancel(), ended.cancel()
            await asyncio.gather(task, ended, return_exceptions=True)

    # ---- by admins ----------------------------------------------------------------------------------------

    async def add(self, user: str, scopes: Sequence[str], expires_s: float, new_user: bool) -> tuple[Token, str]:
        """Give a user a token.

        Args:
            user: Whom.
            scopes: What it allows; none means run.
            expires_s: How long it is good; 0: for ever.
            new_user: Whether the user must be unknown, or must be known.

        Returns:
            What is kept of the token, and its text, which is told this once.

        Raises:
            Failed: The name or a scope cannot be, or the user is known or unknown against what was said.
        """
        token, text = tokens.issue(user, scopes, self._clock(), expires_s)
        known = any(one.user == user and one.revoked_at is None for one in self._tokens.values())
        if known and new_user:
            raise Failed("busy", f"there is a user {user} already", f"`warmcell user token {user}` makes another token")
        if not known and not new_user:
            raise _no_user(user)
        if self._store is not None:
            await self._store.write(tokens.token_added(token))
        self._tokens[token.token_id] = token
        return token, text

    async def revoke(self, what: str) -> list[Token]:
        """End what the tokens of a user, or one token, can do: at once, in calls that go on too.

        Args:
            what: A user's name or a token's id.

        Raises:
            Failed: There is no such user or token, or it is the token file's.
        """
        found = [one for one in self._tokens.values() if what in (one.user, one.token_id) and not one.own]
        if not found:
            raise self._not_revoked(what)
        now_at = self._clock()
        ended = [replace(one, revoked_at=now_at) for one in found if one.revoked_at is None]
        for one in ended:  # before it is written: a full disk must not keep a door open
            self._tokens[one.token_id] = one
            self._ended.setdefault(one.token_id, asyncio.Event()).set()
        if self._store is not None:
            await self._store.write(*map(tokens.token_revoked, ended))
        return ended

    def _not_revoked(self, what: str) -> Failed:
        if what in (self.own.user, self.own.token_id):
            return Failed(
                "protocol", f"{what} is the account that this runtime runs as, by its token file",
                "to change that token, stop the runtime, remove the file `token` in its state directory, and start it",
            )  # fmt: skip
        return _no_user(what)


def _no_user(name: str) -> Failed:
    return Failed("not-found", f"there is no user or token {name}", "see `warmcell user list`, or `warmcell user add`")


def os_user() -> str:
    """Return the name of the user as whom the gateway runs: the embedded runtime's only one."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run as a number without a name
        return f"uid {os.getuid()}"
