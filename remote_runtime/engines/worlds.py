"""The zygotes of other Pythons than the runtime's own: one for each interpreter, there while a worker needs it.

    "conda:x" --find, probe--> interpreter --provide what it lacks--> World -> Zygote -> workers in it
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from remote_runtime.engines import libraries, uv
from remote_runtime.engines.base import EngineSettings, Exit
from remote_runtime.engines.interpreters import VERSION, interpreter_of, of_version
from remote_runtime.engines.probing import Interpreter, Probes, surroundings
from remote_runtime.engines.zygote import Launch, Zygote
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.specs import Environment

BROUGHT = str(Path(__file__).resolve().parents[1] / "worker" / "brought.py")
"""What another Python runs first; started by path, because engines import nothing of it."""

_END_S = 5.0


@dataclass(frozen=True)
class World:
    """An interpreter with all that a worker needs.

    Args:
        interpreter: As it was found.
        libraries: Folder with what it lacks, "" where it lacks nothing.
    """

    interpreter: Interpreter
    libraries: str

    @property
    def launch(self) -> Launch:
        """How a zygote in it is started."""
        path = self.interpreter.path
        return Launch((path, BROUGHT, self.libraries), surroundings(path), f"{self.interpreter.stamp} {self.libraries}")


class Worlds:
    """Finds interpreters and keeps a zygote for each that has workers.

    Args:
        settings: Of the engine.
        on_exit: As for `Zygote`.
    """

    def __init__(self, settings: EngineSettings, on_exit: Callable[[str, Exit], None]) -> None:
        self._settings, self._on_exit = settings, on_exit
        self._probes = Probes()
        self._libraries: dict[tuple[str, int], str] = {}
        self._zygotes: dict[tuple[str, int], Zygote] = {}
        self._making: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._ending: set[asyncio.Task[None]] = set()
        self._expected: set[str] = set()

    async def find(self, python: str) -> World:
        """Return the world that a wish names, made ready; the first time takes a moment, or as long as a download.

        Args:
            python: As `Environment.python`; "" for the runtime's own.

        Raises:
            Failed: code "not-found" or "unsupported", saying what is not there or what it lacks.
        """
        async with self._making[python]:
            return await asyncio.to_thread(self._find, python)

    async def zygote(self, python: str) -> Zygote:
        """Return the zygote of an interpreter that `find` has returned.

        Raises:
            Failed: It is no longer there.
        """
        world = await self.find(python)
        key = python, world.interpreter.stamp
        if key not in self._zygotes:
            self._zygotes[key] = Zygote(self._settings, self._on_exit, world.launch)
        return self._zygotes[key]

    def expect(self, python: str) -> None:
        """Note that there are workers of an interpreter which an earlier engine has launched."""
        self._expected.add(python)

    async def meet(self) -> None:
        """Connect to the zygotes of workers that were adopted; where one cannot be had they do without."""
        for python in self._expected:
            with suppress(Failed):
                await (await self.zygote(python)).meet()

    def log(self, python: str) -> str:
        """Return the last lines that an interpreter's zygote wrote."""
        return "\n".join(filter(None, (z.log() for (path, _), z in self._zygotes.items() if path == python)))

    def left(self, python: str, in_use: Callable[[], Collection[str]]) -> None:
        """Note that a worker of an interpreter has ended; its zygote ends a while after the last of them.

        Args:
            python: Its path.
            in_use: Tells of which interpreters there are workers.
        """
        with suppress(RuntimeError):  # no loop runs any more: the zygote's own time ends it
            asyncio.get_running_loop().call_later(self._settings.spare_ttl_s, self._drop, python, in_use)

    def _drop(self, python: str, in_use: Callable[[], Collection[str]]) -> None:
        if python not in in_use():
            for key in [key for key in self._zygotes if key[0] == python]:
                task = asyncio.ensure_future(self._zygotes.pop(key).end(_END_S))
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)

    async def retire(self) -> None:
        """End every zygote."""
        for python in self._expected:
            with suppress(Failed):
                await self.zygote(python)
        zygotes, self._zygotes = list(self._zygotes.values()), {}
        await asyncio.gather(*(zygote.end(_END_S) for zygote in zygotes), *self._ending)

    def close(self) -> None:
        """Let go of every zygote and leave it running."""
        for zygote in self._zygotes.values():
            zygote.close()

    # ---- in a thread ----------------------------------------------------------------------------------------

    def _find(self, python: str) -> World:
        interpreter = self._probed(python)
        if interpreter.is_own:
            return World(interpreter, "")
        key = interpreter.path, interpreter.stamp
        if key not in self._libraries or not os.path.isdir(self._libraries[key] or os.sep):
            self._libraries[key] = libraries.provide(interpreter, self._settings.state)
        return World(interpreter, self._libraries[key])

    def _probed(self, python: str) -> Interpreter:
        if not VERSION.fullmatch(python):
            return self._of_path(interpreter_of(Environment(python=python)))
        found = next(self._of_version(python), None)
        return found or self._of_path(uv.python(python, self._settings.state))

    def _of_version(self, version: str) -> Iterator[Interpreter]:
        """Yield interpreters that have a version indeed; one that does not run is passed over."""
        for path in of_version(version):
            with suppress(Failed):
                interpreter = self._of_path(path)
                if f"{interpreter.version}.".startswith(f"{version}."):
                    yield interpreter

    def _of_path(self, path: str) -> Interpreter:
        """Return an interpreter under one name, by whichever of its names it was called."""
        interpreter = self._probes.of(path)
        plain = os.path.join(interpreter.prefix, "bin", "python")
        is_same = os.path.realpath(plain) == os.path.realpath(path) and os.path.exists(plain)
        return self._probes.of(plain) if is_same and plain != path else interpreter
