"""The environment for a kernel whose Python is not the runtime's: chosen by itself, where nothing was asked for.

    the kernel's minor version -> an interpreter of it, by the engine -> an image with it, by the builder -> or neither

Values travel between equal minor versions only. Where none can be had the environment stays as it was asked for, and
the comparison of versions says so before anything runs.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from remote_runtime.engines.base import Engine
from remote_runtime.engines.building import Context
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.images import SLIM, Base, ImageSpec
from remote_runtime.wire.specs import Environment

OWN = ".".join(map(str, sys.version_info[:2]))
"""Minor version of the runtime's Python."""


async def admitted(engine: Engine, asked: Environment, kernel: pb.Versions) -> Environment:
    """Return the environment that a session gets, as its engine would make it.

    Args:
        engine: Who makes it.
        asked: What was asked for; a named image or interpreter is kept.
        kernel: Whose values shall travel.

    Raises:
        Failed: The engine cannot make what was asked for.
    """
    minor = ".".join(kernel.python.split(".")[:2])
    if not (asked.image or asked.python) and minor not in ("", OWN):
        async for choice in _choices(engine, asked, minor):
            with suppress(Failed):
                return await engine.admit(choice)
    return await engine.admit(asked)


async def _choices(engine: Engine, asked: Environment, minor: str) -> AsyncIterator[Environment]:
    yield replace(asked, python=minor)
    builder = engine.builder
    if builder is not None:
        spec = ImageSpec(Base(SLIM, python=minor))
        with suppress(Failed):
            await builder.check(spec)
            if await builder.find(spec.digest) is None:
                await builder.build(spec, Context(Path()), lambda news: None)
            yield replace(asked, image=spec.digest)
