"""Hosts that are reached over SSH: each test's account is a real sshd's, each client has a state directory of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from kernel_proxy.settings import Settings
from tests.connect import sshd
from tests.connect.sshd import Account


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory whose path leaves room for a socket's name."""
    with tempfile.TemporaryDirectory(prefix="wc-", dir="/tmp") as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def gpu01(place: Path) -> Iterator[Account]:
    """An account whose Python has warmcell."""
    if sshd.WHY_NOT:
        pytest.skip(sshd.WHY_NOT)
    with sshd.account(place) as made:
        yield made


@pytest.fixture
def other(place: Path) -> Iterator[Callable[..., Account]]:
    """Serve more accounts: `other(name, jump=..., environment=...)`."""
    if sshd.WHY_NOT:
        pytest.skip(sshd.WHY_NOT)
    with ExitStack() as stack:
        yield lambda name, **more: stack.enter_context(sshd.account(place, name, **more))


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Path]:
    """The state directory of a client; its connections end with the test."""
    home = tmp_path / "client"
    yield home
    sshd.hang_up(home)


@pytest.fixture
def reach(client: Path) -> Callable[..., Settings]:
    """The settings by which an account is reached."""
    return lambda account, **more: Settings(**{"url": account.url, "home": client, "ssh": account.ssh, **more})
