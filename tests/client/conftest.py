from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client import roads


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose path leaves room for a socket's name."""
    with tempfile.TemporaryDirectory(prefix="wc-", dir="/tmp") as directory:
        yield Path(directory)


@pytest.fixture(params=["grpc", "lane"])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Joins sessions to their stand-ins by gRPC and by a lane."""
    monkeypatch.setattr(roads, "TRANSPORT", request.param)
    return str(request.param)
