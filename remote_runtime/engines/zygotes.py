"""The zygotes of one engine: the runtime's own, and one for each image that workers run in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

from remote_runtime.engines.base import EngineSettings, Exit
from remote_runtime.engines.zygote import Zygote
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.specs import Environment


class Zygotes:
    """Finds the zygote of an environment, made when it is first asked for.

    Args:
        settings: Of the engine.
        on_exit: As for `Zygote`.
        python_of: Digest of an image -> its interpreter.
    """

    def __init__(
        self, settings: EngineSettings, on_exit: Callable[[str, Exit], None], python_of: Callable[[str], str]
    ) -> None:
        self._settings, self._on_exit, self._python_of = settings, on_exit, python_of
        self.own = Zygote(settings, on_exit)
        self._others: dict[str, Zygote] = {}

    def of(self, environment: Environment) -> Zygote:
        """Return the zygote that runs in an environment's interpreter.

        Raises:
            Failed: code "not-found", where its image is not there.
        """
        if not environment.image:
            return self.own
        python = self._python_of(environment.image)
        if python not in self._others:
            self._others[python] = Zygote(self._settings, self._on_exit, python)
        return self._others[python]

    async def meet(self, environments: Iterable[Environment]) -> None:
        """Connect to the zygotes of adopted workers, so that their ends are seen; an image that is gone has none."""
        found = {id(self.own): self.own}
        for environment in environments:
            with suppress(Failed):
                zygote = self.of(environment)
                found[id(zygote)] = zygote
        await asyncio.gather(*(zygote.meet() for zygote in found.values()))

    async def end(self, grace_s: float) -> None:
        """End every process.

        Args:
            grace_s: Seconds between asking and killing.
        """
        await asyncio.gather(*(zygote.end(grace_s) for zygote in (self.own, *self._others.values())))

    def close(self) -> None:
        """Let go of the processes and leave them running."""
        for zygote in (self.own, *self._others.values()):
            zygote.close()
