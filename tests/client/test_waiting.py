"""A wait ends when what it waits for comes, when its time is over, or by Ctrl-C: in one piece and in slices."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from queue import SimpleQueue

import pytest

from kernel_proxy import waiting
from kernel_proxy.errors import RunTimeout


@pytest.fixture(params=[None, 0.005], ids=["one piece", "slices"], autouse=True)
def slices(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "SLICE_S", request.param)


def later(act: object) -> None:
    threading.Timer(0.03, act).start()  # type: ignore[arg-type]


def test_what_comes_in_time_is_returned() -> None:
    event, queue = threading.Event(), SimpleQueue[str]()
    future: Future[str] = Future()
    later(event.set), later(lambda: queue.put("item")), later(lambda: future.set_result("result"))
    assert waiting.is_set(event)
    assert waiting.take(queue) == "item"
    assert waiting.result_of(future, 10) == "result"


def test_what_does_not_come_in_time_is_told() -> None:
    assert not waiting.is_set(threading.Event(), 0.02)
    with pytest.raises(FutureTimeout):
        waiting.result_of(Future(), 0.02)


def test_a_failure_that_is_a_timeout_too_is_not_waited_over() -> None:
    future: Future[None] = Future()
    future.set_exception(RunTimeout("the run took too long", ""))
    with pytest.raises(RunTimeout):
        waiting.result_of(future)


@pytest.mark.parametrize("wait", [
    lambda: waiting.is_set(threading.Event()), lambda: waiting.take(SimpleQueue()), lambda: waiting.result_of(Future()),
])  # fmt: skip
def test_ctrl_c_ends_a_wait(wait: object) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    later(lambda: os.kill(os.getpid(), signal.SIGINT))
    try:
        with pytest.raises(KeyboardInterrupt):
            wait()  # type: ignore[operator]
    finally:
        signal.signal(signal.SIGINT, before)
