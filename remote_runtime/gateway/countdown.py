"""The countdown before an idle session is released: a table of what to do at each look. Pure.

(counting?, wanted?, running?, due?) -> start | cancel | release | nothing
"""

from __future__ import annotations

from enum import Enum

from remote_runtime.wire import messages_pb2 as pb

_NAMES_SHOWN = 8

UNATTENDED_S = 5.0
"""Countdown of a session that no kernel is attached to: nobody is there to read it."""


class Act(str, Enum):
    """What to do with a session at one look."""

    START = "start"
    CANCEL = "cancel"
    RELEASE = "release"
    NOTHING = "nothing"


def act(counting: bool, wanted: bool, running: bool, due: bool) -> Act:
    """Decide what to do.

    Args:
        counting: Its release is announced.
        wanted: Somebody waits for what it holds, or its own idle time is over.
        running: A run is active, or one was since the announcement, or its keeper does not answer.
        due: The announced time has come.
    """
    if running or not wanted:
        return Act.CANCEL if counting else Act.NOTHING
    if not counting:
        return Act.START
    return Act.RELEASE if due else Act.NOTHING


def length_s(configured_s: float, info: pb.SessionInfo | None) -> float:
    """Return how long a countdown lasts."""
    unattended = info is not None and info.attached_count == 0
    return min(configured_s, UNATTENDED_S) if unattended else configured_s


def announcement(session: str, countdown_s: float, why: str, lost: str) -> str:
    """Return the text that the holder sees."""
    when = f"session {session} is released in {countdown_s:g} s because {why}"
    return f"{when}; {lost}; any run keeps it"


def losses(info: pb.SessionInfo | None) -> str:
    """Tell what a release would lose, as far as the keeper has told."""
    if info is None:
        return "what it would lose is not known"
    count = max(info.name_count, len(info.names))
    if not count:
        return "it holds no names"
    shown = list(info.names[:_NAMES_SHOWN])
    more = [f"{count - len(shown)} more"] if shown and count > len(shown) else []
    return f"it would lose: {', '.join([*shown, *more]) or f'{count} names'}"


def kept(session: str) -> str:
    """Return the text that the holder sees when the countdown is over without a release."""
    return f"session {session} is kept"
