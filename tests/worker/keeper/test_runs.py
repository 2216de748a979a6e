"""A run's road through a real keeper: events in order, one end, queue, follow, doubles."""

from __future__ import annotations

from tests.worker.keeper.conftest import Start
from tests.worker.keeper.link import text_of


def test_hello(start: Start) -> None:
    client = start().claim().client()
    events = list(client.run("channel.text('hello')").events())
    assert [e.WhichOneof("body") for e in events] == ["started", "stream", "end"]
    assert [e.seq for e in events] == [1, 2, 3]
    assert text_of(events) == "hello" and events[-1].end.status == "ok"
    assert events[-1].end.peak_memory_bytes > 0
