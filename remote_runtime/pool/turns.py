"""Turns: whose wish comes next where several users wait. Pure.

    ring of users, who waits in order of arrival -> everybody in the order in which they are served

Round-robin between users, first come first served within one: a user who is served goes to the end of the ring,
and so does one who begins to wait. Whoever waits is passed by each other user at most once for each own wish that
comes before, however many wishes the others have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import TypeVar

T = TypeVar("T")


def in_turn(ring: Sequence[str], waiting: Iterable[T], user_of: Callable[[T], str]) -> list[T]:
    """Return who waits in the order in which they are served.

    Args:
        ring: Users, the next one first; everybody who waits is in it.
        waiting: In order of arrival.
        user_of: Whose wish it is.
    """
    wishes: dict[str, list[T]] = {user: [] for user in ring}
    for one in waiting:
        wishes[user_of(one)].append(one)
    rounds = zip_longest(*wishes.values())
    return [one for turn in rounds for one in turn if one is not None]


class Ring:
    """The users who wait, the next one first."""

    def __init__(self) -> None:
        self.users: list[str] = []

    def enter(self, user: str, first: bool = False) -> None:
        """Take a user in who begins to wait; one who is in keeps the place, unless it shall be the first."""
        if first and user in self.users:
            self.users.remove(user)
        if user not in self.users:
            self.users.insert(0 if first else len(self.users), user)

    def served(self, user: str) -> None:
        """Send a user to the end."""
        self.users.remove(user)
        self.users.append(user)

    def leave(self, user: str) -> None:
        """Take a user out who waits no more."""
        self.users.remove(user)
