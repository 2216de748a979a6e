"""The admin's verbs: tokens and users. Served over gRPC while a gateway runs, see `offline` for when none does.

AddToken, ListTokens, Revoke -> Users, Sessions        Doctor -> checkup
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from remote_runtime.gateway import tokens
from remote_runtime.gateway.users import Users
from remote_runtime.wire import messages_pb2 as pb

Release = Callable[[str, bool], Awaitable[Sequence[str]]]
"""User, whether to stop -> the names of the user's sessions, those that were released or those that live."""

Examine = Callable[[Sequence[tokens.Token]], Awaitable[Sequence[pb.Finding]]]


async def _no_sessions(user: str, stop: bool) -> Sequence[str]:
    return ()


async def _no_findings(known: Sequence[tokens.Token]) -> Sequence[pb.Finding]:
    return ()


class Accounts:
    """Adds, lists and revokes.

    Args:
        users: Who may call.
        sessions: What becomes of a user's sessions.
        examine: The server's checks.
    """

    def __init__(self, users: Users, sessions: Release = _no_sessions, examine: Examine = _no_findings) -> None:
        self._users, self._sessions, self._examine = users, sessions, examine

    async def addtoken(self, request: pb.AddTokenRequest) -> pb.AddTokenReply:
        """Give a user a token; it is told this once.

        Raises:
            Failed: See `Users.add`.
        """
        token, text = await self._users.add(
            request.user, list(request.scopes), request.expires_s, new_user=request.new_user
        )
        return pb.AddTokenReply(info=tokens.on_wire(token), token=text)

    async def listtokens(self, request: pb.ListTokensRequest) -> pb.TokenTable:
        """Tell what is known of every token."""
        return pb.TokenTable(tokens=map(tokens.on_wire, self._users.all))

    async def revoke(self, request: pb.RevokeRequest) -> pb.RevokeReply:
        """End what tokens can do at once, and with `stop` the sessions of their users.

        Raises:
            Failed: There is no such user or token.
        """
        ended = await self._users.revoke(request.what)
        named = {one.user for one in self._users.all if request.what in (one.user, one.token_id)}
        names = [name for user in sorted(named) for name in await self._sessions(user, request.stop)]
        told = {"stopped": names} if request.stop else {"living": names}
        return pb.RevokeReply(revoked=map(tokens.on_wire, ended), **told)

    async def doctor(self, request: pb.DoctorRequest) -> pb.DoctorReply:
        """Check the runtime's own side."""
        return pb.DoctorReply(findings=await self._examine(self._users.all))
