"""A real runtime with real workers, and folders on this side."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel_proxy.folder import Folder
from kernel_proxy.runtime import Runtime, connect
from kernel_proxy.session import Session
from kernel_proxy.settings import Settings
from tests.client.sweep import sweep


@pytest.fixture(scope="package")
def runtime() -> Iterator[Runtime]:
    with tempfile.TemporaryDirectory(prefix="wc-", dir="/tmp") as directory, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", directory)
        reached = connect(Settings(home=Path(directory) / "state", imports="json", answer_s=5))
        yield reached
        reached.stop(force=True)
        reached.close()
        sweep(directory)


@pytest.fixture
def session(runtime: Runtime, request: pytest.FixtureRequest) -> Iterator[Session]:
    """A session with a directory of its own."""
    opened = runtime.open("cpu", request.node.name[:60], "nb.ipynb", {})
    yield opened
    opened.close()
    runtime.release(opened.session_id, force=True)


@pytest.fixture
def folder(session: Session) -> Folder:
    return Folder(session)


@pytest.fixture
def there(session: Session) -> Path:
    """The session's working directory, seen from outside."""
    return Path(session.environment().directory)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory on this side."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
