"""Tokens: how one is made, recognized and written down. Pure: values -> values, statements.

    issue(user, ...) -> Token, text      text = ID_SECRET, as wc_ab12cd34_...; the store has its digest alone
    text -> id_of, digest_of

A secret has 256 random bits, so a plain digest is enough: nobody can try them all.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from remote_runtime.gateway.scopes import ADMIN, SCOPES
from remote_runtime.gateway.store import Row, Statement
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed

_ID = re.compile(r"(wc_[0-9a-f]{8})_.+", re.DOTALL)
_USER = re.compile(r"(?!wc_)[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_COLUMNS = ("token_id", "user", "scopes", "digest", "created_at", "expires_at", "revoked_at", "used_at")

TOKENS = f"SELECT {', '.join(_COLUMNS)} FROM tokens ORDER BY created_at, token_id"
"""Reads every token, for `token_of`."""


@dataclass(frozen=True)
class Token:
    """A token as the runtime knows it.

    Args:
        token_id: Its visible part; "" of a token file older than ids.
        user: Whose.
        scopes: What it allows.
        digest: Of the whole text.
        created_at: Seconds since the epoch, as the others; None where nobody knows.
        expires_at: None: never.
        revoked_at: None while it is not.
        used_at: None before its first use.
        own: Whether it is the one in the token file of the account that the runtime runs as.
    """

    token_id: str
    user: str
    scopes: tuple[str, ...]
    digest: str = field(repr=False)
    created_at: float | None = None
    expires_at: float | None = None
    revoked_at: float | None = None
    used_at: float | None = None
    own: bool = False

    def is_good(self, now_at: float) -> bool:
        """Tell whether it opens anything."""
        return self.revoked_at is None and (self.expires_at is None or now_at < self.expires_at)


def issue(user: str, scopes: Sequence[str], now_at: float, expires_s: float) -> tuple[Token, str]:
    """Make a token.

    Args:
        user: For whom.
        scopes: What it shall allow; none means run.
        now_at: Seconds since the epoch.
        expires_s: How long it is good; 0: for ever.

    Returns:
        What is kept of it, and the text, which is not.

    Raises:
        Failed: No user can have that name, or there is no such scope.
    """
    if not _USER.fullmatch(user):
        raise Failed(
            "protocol", f"{user!r} cannot be a user's name",
            "use up to 64 letters, digits and . _ @ -, beginning with a letter or digit",
        )  # fmt: skip
    wanted = tuple(dict.fromkeys(scopes)) or ("run",)
    unknown = [scope for scope in wanted if scope not in SCOPES]
    if unknown:
        raise Failed("protocol", f"there is no scope {unknown[0]!r}", f"the scopes are {', '.join(SCOPES)}")
    text = fresh()
    expires_at = now_at + expires_s if expires_s > 0 else None
    return Token(id_of(text), user, wanted, digest_of(text), now_at, expires_at), text


def own(text: str, user: str) -> Token:
    """Return the token that the token file holds: it is its account's, and may do everything."""
    return Token(id_of(text), user, (ADMIN,), digest_of(text), own=True)


def fresh() -> str:
    """Return the text of a new token."""
    return f"wc_{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}"


def id_of(text: str) -> str:
    """Return the visible part of a token, "" where it has none."""
    found = _ID.fullmatch(text)
    return found[1] if found else ""


def digest_of(text: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def on_wire(token: Token) -> pb.TokenInfo:
    """Return what admins see of a token."""
    info = pb.TokenInfo(token_id=token.token_id, user=token.user, scopes=token.scopes, own=token.own)
    for name in ("created_at", "expires_at", "revoked_at", "used_at"):
        if (value := getattr(token, name)) is not None:
            setattr(info, name, value)
    return info


def caller_of(token: Token) -> pb.Caller:
    """Return who calls with a token."""
    caller = pb.Caller(user=token.user, scopes=token.scopes, token_id=token.token_id)
    if token.expires_at is not None:
        caller.expires_at = token.expires_at
    return caller


# ---- in the store ----------------------------------------------------------------------------------------


def token_added(token: Token) -> Statement:
    """Write a new token down."""
    values = [",".join(token.scopes) if name == "scopes" else getattr(token, name) for name in _COLUMNS]
    return f"INSERT INTO tokens ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})", values


def token_revoked(token: Token) -> Statement:
    """Write down that a token is good no more."""
    return "UPDATE tokens SET revoked_at = ? WHERE token_id = ?", (token.revoked_at, token.token_id)


def token_used(token: Token) -> Statement:
    """Write down when a token was last used."""
    return "UPDATE tokens SET used_at = ? WHERE token_id = ?", (token.used_at, token.token_id)


def token_of(row: Row) -> Token:
    """Read a row of `TOKENS`."""
    values = dict(zip(_COLUMNS, row, strict=True))
    return Token(**{**values, "scopes": tuple(values["scopes"].split(","))})
