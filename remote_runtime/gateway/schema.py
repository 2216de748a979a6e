"""The tables of the gateway's store, as steps forward: a store at step n needs the steps from n on.

    MIGRATIONS[0] makes an empty file into version 1; a later change is one more entry, never an edit of an old
    one

What lasts is monotonic seconds; times of day (`*_at`, seconds since the epoch) are for people, and nothing is
computed from them.
"""

from __future__ import annotations

from collections.abc import Sequence

FIRST = (
    """CREATE TABLE sessions (
        session_id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        target TEXT NOT NULL,
        notebook TEXT NOT NULL,
        user TEXT NOT NULL,
        token TEXT NOT NULL,               -- '' once it is released
        worker_id TEXT NOT NULL,
        incarnation INTEGER NOT NULL,
        devices TEXT NOT NULL,             -- JSON
        directory TEXT NOT NULL,
        idle_s REAL NOT NULL,              -- its policy
        opened_at REAL NOT NULL,
        released_at REAL,
        reason TEXT,                       -- one word for ExitReply
        detail TEXT,                       -- a sentence for people
        held_s REAL                        -- from claim to end; NULL where nobody saw the end
    )""",
    "CREATE INDEX sessions_living ON sessions (opened_at) WHERE released_at IS NULL",
    "CREATE TABLE workers (worker_id TEXT PRIMARY KEY, facts TEXT NOT NULL)",  # JSON, in the engine's words
    """CREATE TABLE queue (
        ticket TEXT PRIMARY KEY,
        arrived INTEGER NOT NULL,          -- who came first; no clock
        name TEXT NOT NULL,
        target TEXT NOT NULL,
        notebook TEXT NOT NULL,
        user TEXT NOT NULL,
        since_at REAL NOT NULL
    )""",
    """CREATE TABLE runs (
        session_id TEXT NOT NULL,
        run_id TEXT NOT NULL,
        label TEXT NOT NULL,
        state TEXT NOT NULL,
        background INTEGER NOT NULL,
        started_at REAL NOT NULL,
        elapsed_s REAL NOT NULL,
        event_count INTEGER NOT NULL,
        log TEXT,                          -- address of the keeper that holds its events; NULL when it is gone
        PRIMARY KEY (session_id, run_id)
    ) WITHOUT ROWID""",
    """CREATE TABLE usage (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        lease TEXT NOT NULL,
        phase TEXT NOT NULL CHECK (phase IN ('waiting', 'starting', 'running', 'idle')),
        device TEXT NOT NULL,              -- '' while it waits for one
        user TEXT NOT NULL,
        seconds REAL NOT NULL CHECK (seconds > 0),
        at REAL NOT NULL
    )""",
    "CREATE INDEX usage_of_a_lease ON usage (lease, phase, device, seconds)",
    """CREATE TRIGGER usage_is_not_changed BEFORE UPDATE ON usage
        BEGIN SELECT RAISE(ABORT, 'usage rows are only added'); END""",
    """CREATE TRIGGER usage_is_not_removed BEFORE DELETE ON usage
        BEGIN SELECT RAISE(ABORT, 'usage rows are only added'); END""",
)

ENVIRONMENTS = (
    "ALTER TABLE sessions ADD COLUMN environment TEXT NOT NULL DEFAULT '{}'",  # JSON
    "ALTER TABLE sessions ADD COLUMN share_bytes INTEGER",  # of each device; NULL: all of it
)

TOKENS = (
    """CREATE TABLE tokens (
        token_id TEXT PRIMARY KEY,         -- the visible part
        user TEXT NOT NULL,
        scopes TEXT NOT NULL,              -- with commas between
        digest TEXT NOT NULL,              -- of the whole token, which is nowhere
        created_at REAL NOT NULL,
        expires_at REAL,
        revoked_at REAL,
        used_at REAL
    )""",
)

MIGRATIONS: Sequence[Sequence[str]] = (FIRST, ENVIRONMENTS, TOKENS)
"""Version n -> the statements that make it version n + 1."""
