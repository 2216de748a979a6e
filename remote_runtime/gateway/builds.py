"""Builds of images at the gateway: files come in, a build runs once for all who ask, its log goes to each of them.

    Build(spec) -> there already? -> Built
                -> files lacking? -> Lacking -> Supply, Supply, … -> Build again
                -> runs?          -> its log from the beginning, then as it comes -> Built, or the failure
                -> begins one

A build that nobody follows any more is cancelled. Values of secrets stay in memory, for as long as the build runs.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from remote_runtime.engines import records
from remote_runtime.engines.base import Engine
from remote_runtime.engines.building import Builder, Built, Context, Login, StepBegun
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.images import ImageSpec, spec_from
from remote_runtime.wire.specs import Environment

_DIGEST = re.compile(r"[0-9a-f]{64}")
_FULL = (errno.ENOSPC, errno.EDQUOT)


class _Running:
    """A build on its way, and what it has said.

    Args:
        builder: Whose.
        spec: What.
        context: With what.
    """

    def __init__(self, builder: Builder, spec: ImageSpec, context: Context) -> None:
        self.said: list[pb.BuildUpdate] = []
        self.followers_count, self.is_given_up = 0, False
        self._news = asyncio.Condition()
        self.task = asyncio.ensure_future(self._run(builder, spec, context))

    async def _run(self, builder: Builder, spec: ImageSpec, context: Context) -> Built:
        loop = asyncio.get_running_loop()
        try:
            return await builder.build(spec, context, lambda news: loop.call_soon_threadsafe(self._say, news))
        finally:
            loop.call_soon(self._wake)

    def _say(self, news: StepBegun | str) -> None:
        self.said.append(_update(news))
        self._wake()

    def _wake(self) -> None:
        asyncio.ensure_future(self._notify())

    async def _notify(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def follow(self) -> AsyncIterator[pb.BuildUpdate]:
        """Yield all that was said, then what is said, until the build has ended."""
        self.followers_count += 1
        at = 0
        try:
            while at < len(self.said) or not self.task.done():
                while at < len(self.said):
                    yield self.said[at]
                    at += 1
                await self._more_than(at)
        finally:
            self.followers_count -= 1
            if not self.followers_count and not self.task.done():
                self.is_given_up = True
                self.task.cancel()


    async def _more_than(self, count: int) -> None:
        async with self._news:
            await self._news.wait_for(lambda: count < len(self.said) or self.task.done())


class Builds:
    """The builds of one gateway.

    Args:
        engine: Whose builder builds.
        folder: Where files wait for the layers that take them.
    """

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine, self._folder = engine, folder
        self._running: dict[str, _Running] = {}

    async def build(self, request: pb.BuildRequest) -> AsyncIterator[pb.BuildUpdate]:
        """Build an image, or join who does.

        Args:
            request: Its `user` is already the one whose token was shown.

        Raises:
            Failed: The engine cannot, or a step failed.
        """
        began_s, builder, spec = time.monotonic(), self._builder(), spec_from(request.spec)
        if request.logins or spec.secrets:
            spec = spec.owned(request.user)  # what one user's password has fetched is no other's
        await builder.check(spec)
        built = await builder.find(spec.digest)
        is_reused = built is not None
        if built is None:
            lacking = [] if spec.digest in self._running else self._lacking(builder, spec)
            if lacking:
                yield pb.BuildUpdate(lacking=pb.Lacking(digests=lacking))
                return
            running = self._begun(builder, spec, request)
            async for update in running.follow():
                yield update
            built = await running.task
        built = await builder.compare(built, request.parent)
        yield pb.BuildUpdate(built=_wire(built, is_reused, time.monotonic() - began_s))

    async def supply(self, request: pb.SupplyRequest) -> pb.SupplyReply:
        """Take a piece of a file that an image needs.

        Raises:
            Failed: code "protocol", where the whole is not what its digest says; "disk-full".
        """
        if not _DIGEST.fullmatch(request.digest):
            raise Failed("protocol", f"{request.digest[:80]!r} is no digest", "install the same version on both ends")
        return pb.SupplyReply(size_bytes=await asyncio.to_thread(self._take, request))

    async def close(self) -> None:
        """End the builds that run."""
        tasks = [running.task for running in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _builder(self) -> Builder:
        builder = self._engine.builder
        if builder is None:
            name = self._engine.describe().engine
            raise Failed("unsupported", f"the {name} engine builds no images", "leave `--image` out", {"engine": name})
        return builder

    def _lacking(self, builder: Builder, spec: ImageSpec) -> list[str]:
        wanted = dict.fromkeys(file.digest for file in builder.lacks(spec))
        return [digest for digest in wanted if not (self._folder / digest).exists()]

    def _begun(self, builder: Builder, spec: ImageSpec, request: pb.BuildRequest) -> _Running:
        running = self._running.get(spec.digest)
        if running is None or running.is_given_up:
            logins = tuple(Login(login.host, login.user, login.password) for login in request.logins)
            context = Context(self._folder, dict(request.secrets), logins)
            running = self._running[spec.digest] = _Running(builder, spec, context)
            running.task.add_done_callback(lambda task: self._ended(spec.digest, running))
        return running

    def _ended(self, digest: str, running: _Running) -> None:
        if self._running.get(digest) is running:
            del self._running[digest]
        if not running.task.cancelled():
            running.task.exception()  # seen, also where nobody follows any more
        if not self._running:
            _empty(self._folder)

    def _take(self, request: pb.SupplyRequest) -> int:
        part = self._folder / f"{request.digest}.part"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with open(os.open(part, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
                file.seek(request.offset)
                file.write(request.content)
                file.truncate()
                size_bytes = file.tell()
            if request.last:
                _require(_digest_of(part), request.digest)
                part.replace(self._folder / request.digest)
        except OSError as error:
            raise _disk(error, part) from error
        except Failed:
            part.unlink(missing_ok=True)
            raise
        return size_bytes


def _digest_of(path: Path) -> str:
    whole = hashlib.sha256()
    with path.open("rb") as written:
        while piece := written.read(1 << 20):
            whole.update(piece)
    return whole.hexdigest()


async def furnish(engine: Engine, environment: Environment, directory: Path) -> None:
    """Put the files of an environment's image into a session's working directory.

    Raises:
        Failed: code "disk-full".
    """
    if not environment.image or engine.builder is None:
        return
    try:
        await asyncio.to_thread(engine.builder.furnish, environment.image, directory)
    except OSError as error:
        raise _disk(error, directory) from error


def _require(found: str, digest: str) -> None:
    if found != digest:
        raise Failed("protocol", f"a file of the image arrived as {found[:12]}, and {digest[:12]} was announced",
                     "it may have changed meanwhile: build the image again")  # fmt: skip


def _disk(error: OSError, path: Path) -> Failed:
    if error.errno in _FULL:
        return Failed("disk-full", f"a disk of the runtime is full: {path} could not be written",
                      "make room there, and build the image again")  # fmt: skip
    return Failed("image", f"{path} could not be written: {error.strerror}", "see `warmcell logs` of the runtime")


def _empty(folder: Path) -> None:
    """Remove files that layers have taken; the next build that lacks one says so."""
    with suppress(OSError):
        for path in folder.iterdir():
            if _DIGEST.fullmatch(path.name):
                records.remove(path)


def _update(news: StepBegun | str) -> pb.BuildUpdate:
    if isinstance(news, str):
        return pb.BuildUpdate(line=news)
    return pb.BuildUpdate(
        step=pb.BuildStep(number=news.number, count=news.count, title=news.title, reused=news.reused)
    )


def _wire(built: Built, is_reused: bool, took_s: float) -> pb.Built:
    return pb.Built(
        digest=built.digest, reused=is_reused, took_s=took_s, added=built.added, changed=built.changed,
        live=built.live, python=built.python,
    )  # fmt: skip
