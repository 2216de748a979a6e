"""Variables for one run: set while it lasts, and afterwards as they were."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def lent(env: Mapping[str, str]) -> Iterator[None]:
    """Set variables for as long as this lasts; what the code itself sets stays, unless it is one of these."""
    before = {name: os.environ.get(name) for name in env}
    os.environ.update(env)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
