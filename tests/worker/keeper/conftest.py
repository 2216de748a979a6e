"""A zygote for the whole room, a keeper for each test."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.worker.keeper.lanelink import LaneLink
from tests.worker.keeper.link import STANDIN, Link, LiveKeeper, LiveZygote


@contextmanager
def zygote_in_folder(user: str, *more: str, **environment: str) -> Iterator[LiveZygote]:
    with tempfile.TemporaryDirectory(prefix="wc-") as folder:  # short: socket paths end at 107 bytes
        zygote = LiveZygote(Path(folder), user, *more, **environment)
        try:
            yield zygote
        finally:
            zygote.close()


@pytest.fixture(scope="session")
def zygote() -> Iterator[LiveZygote]:
    """A zygote whose user processes are stand-ins."""
    with zygote_in_folder(STANDIN) as found:
        yield found


Start = Callable[..., LiveKeeper]


@pytest.fixture
def start(zygote: LiveZygote) -> Iterator[Start]:
    """Starts keepers with given times and bounds; they are gone after the test."""
    started: list[LiveKeeper] = []

    def begin(**tuning: float) -> LiveKeeper:
        started.append(zygote.keeper(**tuning))
        return started[-1]

    yield begin
    for keeper in started:
        keeper.close()


@pytest.fixture(params=[Link, LaneLink], ids=["grpc", "lane"])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the clients of a test speak gRPC, and then come by the lane."""
    monkeypatch.setattr(LiveKeeper, "link", request.param)
