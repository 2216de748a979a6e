"""Round-robin between users, first come first served within one: no user starves, whatever the others do."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from remote_runtime.engines.host import simulated
from remote_runtime.pool.placement import Chosen
from remote_runtime.pool.queue import Queue, Wait, Waiter
from remote_runtime.pool.turns import in_turn
from remote_runtime.wire.targets import parse_target
from tests.engines.memory import PROCESSOR

DEVICES = [*simulated("A100"), PROCESSOR]
USERS = "abcd"


class Room:
    """One device, which is always held, and those who wait for it."""

    def __init__(self) -> None:
        self.queue, self.holder = Queue(99), "s-first"
        self.count = 0
        self.queue.hold(self.holder, "first", ["sim-A100-0"])

    def join(self, user: str) -> Waiter:
        self.count += 1
        waiter = Waiter(f"s-{user}{self.count}", f"{user}{self.count}", parse_target("A100"), user)
        self.queue.join(waiter)
        self.arrange()
        return waiter

    def arrange(self) -> None:
        self.queue.arrange(DEVICES, {}, 0.0)

    def serve(self) -> Waiter | None:
        """Free the device, and return who gets it."""
        before = self.queue.waiting
        self.queue.give_back(self.holder)
        self.arrange()
        served = next((waiter for waiter in before if isinstance(waiter.told, Chosen)), None)
        self.holder = served.session_id if served is not None else ""
        return served

    def names(self) -> list[str]:
        return [waiter.name for waiter in self.queue.waiting]


def test_users_take_turns_and_come_first_served_within_themselves() -> None:
    room = Room()
    waiters = [room.join(user) for user in "aaabbc"]
    assert room.names() == ["a1", "b4", "c6", "a2", "b5", "a3"]
    assert [w.told.place for w in waiters if isinstance(w.told, Wait)] == [1, 4, 6, 2, 5, 3]
    assert [served.name for _ in range(6) if (served := room.serve())] == ["a1", "b4", "c6", "a2", "b5", "a3"]


def test_one_who_comes_back_for_more_goes_behind_those_who_wait() -> None:
    room = Room()
    room.join("a"), room.join("b")
    room.serve()
    room.join("a")
    assert room.names() == ["b2", "a3"]


def test_new_users_do_not_pass_one_who_waits() -> None:
    room = Room()
    room.join("a"), room.join("b")
    for newcomer in ("c", "d", "e"):
        room.join(newcomer)
    assert room.names() == ["a1", "b2", "c3", "d4", "e5"]


def test_one_served_in_vain_is_next_again() -> None:
    room = Room()
    first, second = room.join("a"), room.join("b")
    room.join("a")
    assert room.serve() is first
    room.queue.give_back(first.session_id)
    first.told = None
    room.queue.join(first, first=True)
    assert room.names() == [first.name, second.name, "a3"]


STEPS = st.lists(st.one_of(st.sampled_from(USERS), st.just("serve"), st.integers(0, 20)), max_size=60)


@given(STEPS)
def test_no_user_starves_and_nobody_passes_within_a_user(steps: list[str | int]) -> None:
    room, passed = Room(), {}
    for step in steps:
        if step == "serve":
            ahead = {waiter.user: waiter for waiter in reversed(room.queue._waiting)}
            served = room.serve()
            assert served is None or served is ahead[served.user], "first come first served within a user"
            for waiter in room.queue.waiting:
                if served is not None and waiter is ahead.get(waiter.user):
                    passed.setdefault(waiter, Counter())[served.user] += 1
        elif isinstance(step, str):
            room.join(step)
        elif step < len(room.queue.waiting):
            room.queue.leave(room.queue.waiting[step])
        assert set(room.queue._ring.users) == {waiter.user for waiter in room.queue._waiting}
    for waiter, counts in passed.items():
        others = {user: count for user, count in counts.items() if user != waiter.user}
        assert all(count <= 1 for count in others.values()), "each other user comes at most once before a first wish"


@given(st.lists(st.sampled_from(USERS), max_size=30))
def test_places_are_everybodys_and_fair(arrivals: list[str]) -> None:
    ring = list(dict.fromkeys(arrivals))
    order = in_turn(ring, [*enumerate(arrivals)], lambda pair: pair[1])
    assert sorted(order) == [*enumerate(arrivals)]
    seen: Counter[str] = Counter()
    for _, user in order:
        seen[user] += 1
        waiting = Counter(arrivals) - seen
        assert all(seen[user] - seen[other] <= 1 for other in waiting)
