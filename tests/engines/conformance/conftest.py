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
    before = containers.inventory() if not containers.absent() else {}
    home = Path(tempfile.mkdtemp(prefix="wc-c"))
    rig = Rig(request.param, home)
    yield rig
    rig.retire()
    after = containers.inventory() if before else {}
    shutil.rmtree(home)
    assert after == before
