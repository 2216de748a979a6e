from __future__ import annotations

from remote_runtime.engines.host import simulated
from remote_runtime.pool.placement import Chosen
from remote_runtime.pool.queue import Queue, Wait, Waiter
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.targets import parse_target
from tests.engines.memory import PROCESSOR

DEVICES = [*simulated("A100:2"), PROCESSOR]


def waiter(name: str, target: str = "A100") -> Waiter:
    return Waiter(f"s-{name}", name, parse_target(target))


def arranged(queue: Queue, *waiters: Waiter, idle: dict[str, float] | None = None, now: float = 0.0) -> frozenset[str]:
    for one in waiters:
        queue.join(one)
    return queue.arrange(DEVICES, idle or {}, now)


def test_devices_go_to_those_who_came_first() -> None:
    queue, (a, b, c, d) = Queue(8), [waiter(n) for n in "abcd"]
    arranged(queue, a, b, c, d)
    assert [type(w.told) for w in (a, b)] == [Chosen, Chosen]
    assert (c.told.place, d.told.place) == (1, 2)
    assert c.told.holders == ("session a", "session b")
    queue.give_back("s-b")
    arranged(queue)
    assert c.told.devices[0].id == b.told.devices[0].id
    assert d.told.place == 1


def test_who_leaves_makes_place() -> None:
    queue, (a, b, c, d) = Queue(8), [waiter(n) for n in "abcd"]
    arranged(queue, a, b, c, d)
    queue.leave(c)
    queue.leave(c)
    queue.give_back("s-a")
    arranged(queue)
    assert isinstance(d.told, Chosen)


def test_a_small_want_does_not_overtake_a_large_one() -> None:
    queue = Queue(8)
    one, pair, late = waiter("one"), waiter("pair", "A100:2"), waiter("late")
    arranged(queue, one, pair, late)
    assert isinstance(pair.told, Wait)
    assert isinstance(late.told, Wait)
    queue.give_back("s-one")
    arranged(queue)
    assert isinstance(pair.told, Chosen)


def test_what_the_runtime_does_not_have_is_told_at_once() -> None:
    queue, wrong = Queue(8), waiter("wrong", "H100")
    arranged(queue, wrong)
    assert isinstance(wrong.told, Failed)
    assert not queue.waiting


def test_the_same_answer_is_told_once() -> None:
    queue, (a, b, c) = Queue(8), [waiter(n) for n in "abc"]
    arranged(queue, a, b, c)
    arranged(queue)
    assert c.answers.qsize() == 1


def test_there_are_places_for_max_workers_and_no_more() -> None:
    queue, (a, b, c) = Queue(2), [waiter(n, "cpu") for n in "abc"]
    assert arranged(queue, a, b, c, idle={"s-b": 3.0}) == {"s-b"}
    assert c.told.reason == "all 2 workers are in use"


def test_a_closed_queue_refuses_who_waits_and_who_comes() -> None:
    queue, (a, b, c, d) = Queue(8), [waiter(n) for n in "abcd"]
    arranged(queue, a, b, c)
    queue.close(Failed("unavailable", "the runtime was stopped"))
    queue.give_back("s-a")
    arranged(queue, d)
    assert [w.told.message for w in (c, d)] == ["the runtime was stopped"] * 2


def test_a_device_locked_elsewhere_is_left_alone_for_a_while() -> None:
    queue, a = Queue(8), waiter("a", "A100:2")
    queue.block(["sim-A100-0"], "user bob", until=10.0)
    arranged(queue, a, now=9.0)
    assert "user bob" in a.told.reason
    arranged(queue, now=10.5)
    assert isinstance(a.told, Chosen)
