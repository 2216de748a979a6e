from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers import engine as containers
from tests.engines.conformance.rigs import Rig, each


@pytest.fixture(scope="module", params=list(each()))
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """An engine of each kind; when a module is through, nothing more is there than before."""
    why = containers.absent() if request.param == "docker" else ""
    if why:
        pytest.skip(why)
    before = containers.shared() if request.param == "docker" else set()
    home = Path(tempfile.mkdtemp(prefix="wc-c"))
    rig = Rig(request.param, home)
    yield rig
    rig.retire()
    left = containers.left_by(home) if request.param == "docker" else []
    more = containers.shared() - before if request.param == "docker" else set()
    shutil.rmtree(home)
    assert not left and not more
