"""What the docker engine makes of an environment: an image to start from, and what is bound into the container.

    Environment --image, or the one of its Python--> digest -> tag, its variables \
                --mounts, volumes--> what is bound                                  > Surroundings -> a container
                --no network--> hardening                                          /
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from remote_runtime.engines import binds, hardening, images, places, rooms
from remote_runtime.engines.building import Context
from remote_runtime.engines.docker_builder import DockerBuilder
from remote_runtime.engines.docker_site import Site
from remote_runtime.engines.docker_steps import StepDoor
from remote_runtime.engines.hardening import Surroundings
from remote_runtime.engines.interpreters import VERSION
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import versions
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.images import SLIM, Base, ImageSpec
from remote_runtime.wire.specs import Environment, Mount

_DIGEST = re.compile(r"[0-9a-f]{64}")


class DockerEnvironments:
    """The environments of one engine whose workers are containers.

    Args:
        site: Where they live.
        state: Directory of the runtime.
    """

    def __init__(self, site: Site, state: Path) -> None:
        self._site, self._state = site, state
        self._volumes = state / places.VOLUMES
        self._giving = threading.Lock()
        self._building = asyncio.Lock()

    @cached_property
    def builder(self) -> DockerBuilder:
        """What makes images; those that begin with another worker's image than ours are not ours."""
        kind = self._kind()
        door = StepDoor(self._site.profile.url)
        return DockerBuilder(self._state / "containers" / kind, self._site.image, _provisions, door, kind)

    def _kind(self) -> str:
        """Return a short name of all that decides what is in a worker's image."""
        profile, python = self._site.profile, images.minor_version()
        facts = (profile.image, images.recipe(python, profile.variant, images.pins_here(python)))
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:8]

    async def admit(self, environment: Environment) -> Environment:
        """Return an environment with its image found, or that of its Python built.

        Raises:
            Failed: Something is not there, or nothing that a container can be.
        """
        binds.check(self._bound(environment))
        if environment.image:
            await self._require(environment.image)
            return replace(environment, python="")
        if not environment.python:
            return environment
        return replace(environment, image=await self._of_python(environment.python), python="")

    async def _require(self, digest: str) -> None:
        if not _DIGEST.fullmatch(digest) or await self.builder.find(digest) is None:
            raise Failed("not-found", f"the image {digest[:12]} is not built here",
                         "choose it again with `%gpu use --image`, which builds it", {"image": digest})  # fmt: skip

    async def _of_python(self, named: str) -> str:
        """Return the digest of the image with a Python, built where it is not there; "" for the runtime's own."""
        found = VERSION.fullmatch(named)
        if found is None or found[1] != named:
            what = f"the docker engine cannot run cells in {named}: a container has its own Python"
            hint = "name a version such as `--python 3.12`, or choose an image with `--image`"
            raise Failed("unsupported", what, hint)
        if named == images.minor_version():
            return ""
        spec = ImageSpec(Base(SLIM, python=named))
        async with self._building:
            if await self.builder.find(spec.digest) is None:
                await self._build(spec)
        return spec.digest

    async def _build(self, spec: ImageSpec) -> None:
        try:
            await self.builder.build(spec, Context(Path()), lambda news: None)
        except Failed as failure:
            what = f"there is no container with Python {spec.base.python} here: {failure.message}"
            raise Failed("unsupported", what, failure.hint, failure.detail) from failure

    async def versions(self, environment: Environment) -> pb.Versions:
        """Return those of the image."""
        built = await self.builder.find(environment.image) if environment.image else None
        if built is None:
            return versions.here()
        installed = await self.builder.packages(built.digest)
        found = pb.Versions()
        found.CopyFrom(versions.here())
        found.python = built.python
        found.ClearField("packages")
        found.packages.update({name: installed[name] for name in versions.COMPARED if name in installed})
        return found

    def places(self, environment: Environment) -> Sequence[Mount]:
        """Return where a session sees its mounts and volumes; see `binds`."""
        return binds.seen(environment, self._volumes)

    def remarks(self, environment: Environment) -> Sequence[str]:
        """Say which mounts a worker has no rights to."""
        return binds.remarks(environment)

    def around(self, environment: Environment) -> Surroundings:
        """Return what a worker's container is made from, its volumes made the worker's own. Waits for the engine.

        Raises:
            Failed: The image or a directory is no longer there.
        """
        found = self._bound(environment)
        binds.require(found)
        with self._giving:  # a container that has a volume already must not move in it what is given away here
            for volume in environment.volumes:
                rooms.give(self._volumes / volume.name, hardening.user())
        if not environment.image:
            return Surroundings(bound=found)
        tag = self.builder.tag(environment.image)
        facts = self.builder.door.facts(tag)
        if facts is None:
            raise Failed("unavailable", f"the image {environment.image[:12]} was removed from the Docker engine",
                         "choose it again with `%gpu use --image`, which builds it")  # fmt: skip
        pairs = (pair.partition("=") for pair in facts["Config"].get("Env") or ())
        return Surroundings(tag, {name: value for name, _, value in pairs}, found)

    def _bound(self, environment: Environment) -> tuple[Mount, ...]:
        return binds.bound(environment, self._volumes)

    def close(self) -> None:
        """Let go of the builder's way to the engine."""
        with suppress(KeyError):
            self.__dict__["builder"].door.close()


def _provisions(python: str) -> Sequence[str]:
    """Return the requirements of a worker, for an image that others have made with a Python."""
    asked = images.recipe(python, "plain", images.pins_here(python))
    return [line for line in asked.requirements if line != "pip"]
