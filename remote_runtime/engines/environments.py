"""What the process engine makes of an environment: an interpreter with its zygote, and links for what is mounted.

    Environment --image: its virtual environment, or a named Python--> interpreter -> Worlds -> a zygote in it
                --mounts, volumes--> links, made with a worker and removed with the last that needs them
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from remote_runtime.engines import places
from remote_runtime.engines.base import EngineSettings, Exit
from remote_runtime.engines.interpreters import interpreter_of
from remote_runtime.engines.venvs import VenvBuilder
from remote_runtime.engines.worlds import Worlds
from remote_runtime.engines.zygote import Zygote
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import versions
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.specs import Environment, Mount


class Environments:
    """The environments of one engine whose workers share the host.

    Args:
        settings: Of the engine.
        on_exit: As for `Zygote`.

    Attributes:
        builder: What makes virtual environments of images.
    """

    def __init__(self, settings: EngineSettings, on_exit: Callable[[str, Exit], None]) -> None:
        self._volumes = settings.state / places.VOLUMES
        self._worlds = Worlds(settings, on_exit)
        self.builder = VenvBuilder(settings.state / "images", lambda minor: interpreter_of(Environment(python=minor)))

    async def admit(self, environment: Environment) -> Environment:
        """Return an environment with its interpreter found and made ready; an image has its own.

        Raises:
            Failed: Something is not there, or cannot be seen where it is wanted.
        """
        self.places(environment)
        if environment.image:
            await self._worlds.find(await asyncio.to_thread(self.python_of, environment))
            return replace(environment, python="")
        if not environment.python:
            return environment
        found = (await self._worlds.find(environment.python)).interpreter
        return replace(environment, python="" if found.is_own else found.path)

    def python_of(self, environment: Environment) -> str:
        """Return the interpreter that an admitted environment runs in, "" for the runtime's own.

        Raises:
            Failed: code "not-found", where its image is not there.
        """
        return self.builder.interpreter(environment.image) if environment.image else environment.python

    async def versions(self, environment: Environment) -> pb.Versions:
        """Return those of the interpreter and its packages."""
        python = self.python_of(environment)
        return (await self._worlds.find(python)).interpreter.versions if python else versions.here()

    async def zygote(self, environment: Environment) -> Zygote | None:
        """Return the zygote of an admitted environment; None for the runtime's own.

        Raises:
            Failed: Its interpreter is no longer there.
        """
        python = self.python_of(environment)
        return await self._worlds.zygote(python) if python else None

    async def meet(self, environments: Iterable[Environment]) -> None:
        """Connect to the zygotes of workers that were adopted, so that their ends are seen."""
        for python in self._pythons(environments):
            self._worlds.expect(python)
        await self._worlds.meet()

    def log(self, environment: Environment) -> str | None:
        """Return what the zygote of an environment wrote last; None for the runtime's own."""
        found = self._pythons([environment])
        return "\n".join(map(self._worlds.log, found)) if found else None

    def places(self, environment: Environment) -> Sequence[Mount]:
        """Return links; see `places`."""
        return places.places_of(environment, self._volumes)

    def left(self, environment: Environment, others: Callable[[], Sequence[Environment]]) -> None:
        """Take back what only workers of an environment needed, now that one of them has ended.

        Args:
            environment: Of the worker that has ended.
            others: Tells those of the workers that live.
        """
        if environment.mounts or environment.volumes:
            places.lift_absolute(self._seen(environment), [p for other in others() for p in self._seen(other)])
        for python in self._pythons([environment]):
            self._worlds.left(python, lambda: self._pythons(others()))

    def _pythons(self, environments: Iterable[Environment]) -> set[str]:
        """Return the interpreters of environments but the runtime's own; an image that is gone has none."""
        found = set()
        for environment in environments:
            with suppress(Failed):
                found.add(self.python_of(environment))
        return found - {""}

    def _seen(self, environment: Environment) -> Sequence[Mount]:
        return places.wanted(environment, self._volumes)

    async def retire(self) -> None:
        """End every zygote."""
        await self._worlds.retire()

    def close(self) -> None:
        """Let go of every zygote and leave it running."""
        self._worlds.close()
