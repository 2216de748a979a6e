"""What a worker is made with, as frozen data that travels: interpreter or image, mounts, volumes, network.

    %gpu use --image … --mount … -> Environment -> OpenRequest -> engine.admit -> WorkerSpec -> a worker of its own kind

Workers of equal environments are interchangeable, so the environment is what the pool keeps them apart by. What a
session is given only when it takes a worker (variables, secrets, devices) is no part of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from remote_runtime.wire import messages_pb2 as pb


@dataclass(frozen=True)
class Mount:
    """A directory of the worker's host, seen by the worker.

    Args:
        source: Path on the host.
        target: Path that the worker sees.
        writable: Whether the worker may change it.
    """

    source: str
    target: str
    writable: bool = False


@dataclass(frozen=True)
class VolumeMount:
    """A named volume, seen by the worker.

    Args:
        name: Of the volume.
        target: Path that the worker sees.
        read_only: Whether the worker may not change it.
    """

    name: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Environment:
    """What a worker is made with; all empty means the runtime's own.

    Args:
        image: Digest of a built image.
        python: Interpreter to run in: a path, "conda:NAME", "venv:DIR" or a version such as "3.12".
        mounts: Directories of the host.
        volumes: Named volumes.
        block_network: Whether it reaches no network at all.
    """

    image: str = ""
    python: str = ""
    mounts: tuple[Mount, ...] = ()
    volumes: tuple[VolumeMount, ...] = ()
    block_network: bool = False

    @property
    def key(self) -> str:
        """A short name that equal environments share; "" for the runtime's own."""
        if self == OWN:
            return ""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]

    @property
    def wire(self) -> pb.WorkerEnvironment:
        """The environment as it travels."""
        return pb.WorkerEnvironment(
            image=self.image, python=self.python, block_network=self.block_network,
            mounts=[pb.Mount(**asdict(mount)) for mount in self.mounts],
            volumes=[pb.VolumeMount(**asdict(volume)) for volume in self.volumes],
        )  # fmt: skip

    @property
    def facts(self) -> dict[str, Any]:
        """The environment as JSON can hold it."""
        return asdict(self)


OWN = Environment()
"""The runtime's own environment."""


def environment_of(wire: pb.WorkerEnvironment) -> Environment:
    """Return an environment that has travelled."""
    return Environment(
        wire.image,
        wire.python,
        tuple(Mount(m.source, m.target, m.writable) for m in wire.mounts),
        tuple(VolumeMount(v.name, v.target, v.read_only) for v in wire.volumes),
        wire.block_network,
    )


def environment_from(facts: Mapping[str, Any] | None) -> Environment:
    """Return an environment that was written down; nothing written is the runtime's own."""
    if not facts:
        return OWN
    return Environment(
        facts["image"],
        facts["python"],
        tuple(Mount(**mount) for mount in facts["mounts"]),
        tuple(VolumeMount(**volume) for volume in facts["volumes"]),
        facts["block_network"],
    )
