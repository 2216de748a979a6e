"""One far interpreter for all of these tests, emptied for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.payload.far import Far, Notebook


@pytest.fixture(scope="session")
def _far() -> Iterator[Far]:
    far = Far()
    yield far
    far.close()


@pytest.fixture
def far(_far: Far) -> Far:
    _far.fresh()
    return _far


@pytest.fixture
def notebook(far: Far) -> Notebook:
    return Notebook(far)
