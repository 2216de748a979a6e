"""What a session may be made with and given: wishes of a client -> an environment, and variables.

    OpenRequest --mounts listed?, volumes there?, engine.admit--> Environment
                --model cache < secrets < variables-------------> what the claim carries
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from remote_runtime.engines.base import Engine
from remote_runtime.gateway import caches, matching
from remote_runtime.gateway.config import Config
from remote_runtime.gateway.mounts import allowed
from remote_runtime.gateway.secrets import Secrets
from remote_runtime.gateway.users import os_user
from remote_runtime.gateway.volumes import Volumes
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.settingnames import variable_problem
from remote_runtime.wire.specs import OWN, Environment, environment_of


class Admission:
    """Decides what sessions are made with, and what they are given.

    Args:
        config: What the admin allows.
        engine: Says which environments it can make.
    """

    def __init__(self, config: Config, engine: Engine) -> None:
        self._config, self.engine = config, engine
        self._secrets, self._volumes = Secrets(config.state), Volumes(config.state)

    async def environment(self, request: pb.OpenRequest) -> Environment:
        """Return what a session's worker is made with.

        Raises:
            Failed: Something is not allowed, not there, or nothing that the engine can make.
        """
        asked = environment_of(request.environment)
        if asked == OWN:
            return await matching.admitted(self.engine, OWN, request.versions)
        resolved = await asyncio.to_thread(self._resolved, asked, request.user)
        return await matching.admitted(self.engine, resolved, request.versions)

    def _resolved(self, asked: Environment, user: str) -> Environment:
        mounts = tuple(allowed(mount, self._config.policy.mounts) for mount in asked.mounts)
        return replace(asked, mounts=mounts, volumes=self._volumes.mounted(user, asked.volumes))

    async def variables(self, request: pb.OpenRequest) -> dict[str, str]:
        """Return what a session is given: the model cache, over it its secrets, over them its variables.

        Raises:
            Failed: A secret is not there, or a variable cannot have its name.
        """
        _check_names(request.env)
        secrets = await self.secret_variables(request.user, request.secrets)
        return {**self._cache(request.user), **secrets, **request.env}

    def _cache(self, user: str) -> dict[str, str]:
        if not self._config.policy.has_model_cache:
            return {}
        return caches.variables(self._config.state, user, os_user(), os.environ)

    async def secret_variables(self, user: str, names: Sequence[str]) -> dict[str, str]:
        """Return the variables of a user's secrets.

        Raises:
            Failed: code "not-found", for one that is not there.
        """
        return await asyncio.to_thread(self._secrets.variables, user, list(names)) if names else {}

    async def consider(self, request: pb.OpenRequest) -> pb.ConsiderReply:
        """Tell what a session would be, and open none.

        Raises:
            Failed: As `environment` and `variables`.
        """
        environment = await self.environment(request)
        variables = await self.variables(request)
        found = await self.engine.versions(environment)
        return pb.ConsiderReply(environment=environment.wire, versions=found, variables=sorted(variables),
                                remarks=self.engine.remarks(environment))  # fmt: skip

    async def secrets(self, request: pb.SecretsRequest) -> pb.SecretsReply:
        """Keep, forget or list a user's secrets."""
        user, keep = request.user, request.put
        work: Mapping[str, Callable[[], object]] = {
            "put": lambda: [self._secrets.put(user, keep.name, keep.variables, keep.overwrite)],
            "remove": lambda: self._secrets.remove(user, request.remove),
            "list": lambda: self._secrets.list(user),
        }
        return pb.SecretsReply(secrets=await _done(work, request.WhichOneof("body")))

    async def volumes(self, request: pb.VolumesRequest) -> pb.VolumesReply:
        """Make, remove, list or write out a user's volumes."""
        user, make = request.user, request.make
        work: Mapping[str, Callable[[], object]] = {
            "make": lambda: [self._volumes.make(user, make.name, make.create_if_missing, make.must_be_new)],
            "remove": lambda: self._volumes.remove(user, request.remove),
            "list": lambda: self._volumes.list(user),
            "commit": lambda: self._volumes.commit(user, request.commit),
        }
        return pb.VolumesReply(volumes=await _done(work, request.WhichOneof("body")))


async def _done(work: Mapping[str, Callable[[], object]], body: str | None) -> list:
    if body not in work:
        raise Failed("protocol", "the request says nothing that is known here", "use the same warmcell on both ends")
    return await asyncio.to_thread(work[body]) or []  # type: ignore[return-value]


def _check_names(env: Mapping[str, str]) -> None:
    for name in env:
        wrong = variable_problem(name)
        if wrong:
            raise Failed("unsupported", wrong, "choose another name")
