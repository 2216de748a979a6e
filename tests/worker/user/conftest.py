from __future__ import annotations

import pytest

from tests.worker.user.harness import User


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One user process for a whole file: that it lives through every test is part of each."""
    user = User(str(tmp_path_factory.mktemp("session")))
    yield user
    user.close()


@pytest.fixture
def user(shared):
    """The file's process; what a test leaves in the namespace does not reach the next."""
    yield shared
    shared.ask(remove={"names": list(shared.run("#").end.alive)})


@pytest.fixture
def fresh(tmp_path):
    """A process of the test's own, to be killed."""
    user = User(str(tmp_path))
    yield user
    user.close()
