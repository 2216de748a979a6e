"""What each method and each route asks of a token, as two tables, and how a refusal sounds.

    method or route -> scope -> may(caller, scope)

What stands in no table needs `admin`: something new is closed until somebody has thought about it.
"""

from __future__ import annotations

from collections.abc import Mapping

from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed

OPEN, ANY, RUN, PUBLISH, ADMIN = "open", "any", "run", "publish", "admin"

SCOPES: Mapping[str, str] = {
    RUN: "opens sessions and runs cells in them",
    PUBLISH: "publishes functions as endpoints",
    ADMIN: "sees and stops everybody's sessions, adds users, stops the runtime; holds the other two",
}
"""What a token may be given -> what that allows."""

METHODS: Mapping[str, str] = {
    "Describe": ANY,
    "Open": RUN,
    "Warm": RUN,
    "Consider": RUN,
    "Lend": RUN,
    "Secrets": RUN,
    "Volumes": RUN,
    "Build": RUN,
    "Supply": RUN,
    "Release": RUN,
    "Exit": RUN,
    "Relay": RUN,
    "Stop": ADMIN,
    "AddToken": ADMIN,
    "ListTokens": ADMIN,
    "Revoke": ADMIN,
    "Doctor": ADMIN,
}
"""gRPC method -> scope."""

ROUTES: Mapping[str, str] = {
    "/healthz": OPEN,
    "/v1/ca": OPEN,  # a certificate is shown to whoever connects anyway
    "/v1/runtime": ANY,
    "/v1/status": ANY,
    "/v1/tunnel": ANY,  # each call in it shows a token of its own
}
"""HTTP route -> scope; `OPEN` asks for no token."""


def may(caller: pb.Caller, scope: str) -> bool:
    """Tell whether a caller, whose token is good, has a scope."""
    return scope in (OPEN, ANY) or scope in caller.scopes or is_admin(caller)


def is_admin(caller: pb.Caller) -> bool:
    """Tell whether a caller sees and stops what is others'."""
    return ADMIN in caller.scopes


def nobody() -> Failed:
    """Return the answer to every token that is not good; it is one answer, so that it tells nothing of the token."""
    return Failed(
        "unauthorized",
        "the token is missing, wrong, expired or revoked",
        "ask who runs the runtime for a token, then `warmcell login URL`, or set WARMCELL_TOKEN",
    )


def lacking(caller: pb.Caller, scope: str) -> Failed:
    """Return the answer to a good token that may not do this."""
    return Failed(
        "forbidden",
        f"this needs a token with the scope {scope}; {caller.token_id or 'this one'} of {caller.user} has "
        f"{', '.join(caller.scopes) or 'none'}",
        f"ask an admin for one: `warmcell user token {caller.user} --scope {scope}`",
    )
