from __future__ import annotations

import itertools

import pytest

from remote_runtime.gateway.countdown import Act, act, announcement, losses
from remote_runtime.wire import messages_pb2 as pb

# counting, wanted, running, due
TABLE = {
    (False, True, False, False): Act.START,
    (False, True, False, True): Act.START,
    (True, True, False, True): Act.RELEASE,
    (True, True, False, False): Act.NOTHING,
    **{(True, False, running, due): Act.CANCEL for running in (False, True) for due in (False, True)},
    **{(True, True, True, due): Act.CANCEL for due in (False, True)},
}


@pytest.mark.parametrize("cell", list(itertools.product((False, True), repeat=4)))
def test_each_cell(cell: tuple[bool, bool, bool, bool]) -> None:
    assert act(*cell) is TABLE.get(cell, Act.NOTHING)


@pytest.mark.parametrize(
    ("info", "text"),
    [
        (None, "what it would lose is not known"),
        (pb.SessionInfo(), "it holds no names"),
        (pb.SessionInfo(name_count=3), "it would lose: 3 names"),
        (pb.SessionInfo(name_count=2, names=["a", "b"]), "it would lose: a, b"),
        (pb.SessionInfo(name_count=10, names=list("abcdefghij")), "it would lose: a, b, c, d, e, f, g, h, 2 more"),
    ],
)
def test_losses_are_named_as_far_as_they_are_known(info: pb.SessionInfo | None, text: str) -> None:
    assert losses(info) == text


def test_the_announcement_says_when_why_what_and_how_to_keep_it() -> None:
    text = announcement("nb", 60.0, "session b waits for what it holds", "it would lose: x")
    assert text == "session nb is released in 60 s because session b waits for what it holds; it would lose: x; any run keeps it"
