"""What a worker's container is allowed: one pure function from settings and places to the engine's arguments.

    WorkerSpec, Profile, Places, Surroundings -> container -> arguments of `Door.create`

Whatever a container may or may not do is decided here and nowhere else. `PROBES` of tests/containers look at each
line from inside.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from remote_runtime.engines.base import CPU, WorkerSpec
from remote_runtime.engines.docker_door import INSTALLATION, WORKER
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.specs import Mount

UID = 64321
"""Who workers are where the gateway is root; no account of a usual system has this number."""

RUN, SESSION, CODE = "/run/warmcell", "/session", "/opt/warmcell"
"""Where a container finds its sockets, its session's files, and the worker's own code."""

LOCKS = "/tmp/warmcell-devices"
"""Where keepers lock GPUs for the whole machine, `worker.devicelock.DIRECTORY`."""

MODULE = "remote_runtime.worker"
"""What a container runs; named, because engines import nothing of it."""

MIB = 1 << 20

PRIVATE = (
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8",
    "224.0.0.0/4", "240.0.0.0/4",
)  # fmt: skip
"""Ranges that no worker reaches: a site's own networks, and link-local addresses, where clouds keep credentials."""

INTERNET, NONE = "internet", "none"

_SIZE = re.compile(r"(\d+)([kmgt]?)", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


@dataclass(frozen=True)
class Profile:
    """What every worker's container of an installation is like.

    Args:
        image: Its name; "" for the one of the table that has the gateway's Python.
        variant: Of the table, where no image is named.
        url: Of the Docker engine; "" is DOCKER_HOST's, or the local one.
        memory_bytes: Most memory, its files in memory included; 0 for no limit.
        cpus: Most processors; 0 for no limit.
        pids: Most processes and threads.
        tmp_bytes: Size of /tmp, which lies in memory.
        shm_bytes: Size of /dev/shm.
        network: "internet", or "none" for no network at all.
        blocked: Ranges that no worker reaches.
        runtime: Of containers, such as "runsc"; "" for the engine's own.
    """

    image: str = ""
    variant: str = "plain"
    url: str = ""
    memory_bytes: int = 0
    cpus: float = 0.0
    pids: int = 1024
    tmp_bytes: int = 1024 * MIB
    shm_bytes: int = 1024 * MIB
    network: str = INTERNET
    blocked: tuple[str, ...] = PRIVATE
    runtime: str = ""


@dataclass(frozen=True)
class Surroundings:
    """What a container has because its session's environment asks for it.

    Args:
        image: Tag of what it is made from; "" for the profile's.
        variables: Those that this image sets.
        bound: Directories: `source` on the host, `target` in the container.
    """

    image: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    bound: tuple[Mount, ...] = ()


@dataclass(frozen=True)
class Places:
    """Directories of the host that a container sees, and what else it is made from.

    Args:
        run: For its sockets.
        room: For its session's files.
        code: With the worker's code.
        around: What its environment adds.
    """

    run: Path
    room: Path
    code: Path
    around: Surroundings = Surroundings()


def profile(options: Mapping[str, object]) -> Profile:
    """Read an engine's options, as `{"memory": "8g", "cpus": 2}`.

    Raises:
        Failed: code "unavailable", for an option that there is not, or a value that cannot be read.
    """
    kinds = {field.name.removesuffix("_bytes"): field for field in fields(Profile)}
    found: dict[str, Any] = {}
    for name, value in options.items():
        if name not in kinds:
            raise Failed("unavailable", f"the docker engine has no option {name!r}",
                         f"its options are {', '.join(sorted(kinds))}")  # fmt: skip
        try:
            found[kinds[name].name] = _read(kinds[name].name, value)
        except ValueError as error:
            raise Failed("unavailable", f"the docker engine's option {name} is {value!r}, which {error}",
                         "write a size as 8g, a count as 512") from error  # fmt: skip
    return Profile(**found)


def _read(name: str, value: object) -> Any:
    if name.endswith("_bytes"):
        return size_bytes(value)
    if name == "blocked":
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else tuple(value)  # type: ignore[arg-type]
    if name == "network" and value not in (INTERNET, NONE):
        raise ValueError(f"is neither {INTERNET!r} nor {NONE!r}")
    kind = type(getattr(Profile, name))
    try:
        return kind(value)
    except (TypeError, ValueError):
        raise ValueError("is no number") from None


def size_bytes(value: object) -> int:
    """Read a size, such as 1048576, "512m" or "8g".

    Raises:
        ValueError: It is none.
    """
    found = _SIZE.fullmatch(str(value).strip().lower().removesuffix("ib").removesuffix("b"))
    if found is None or isinstance(value, bool):
        raise ValueError("is no size")
    return int(found[1]) * 1024 ** _POWERS[found[2]]


def user() -> int:
    """Return whose files and sockets a worker's are: nobody's account, or the gateway's own user's without root.

    A gateway that is not root could neither give its directories away nor enter those that a worker makes.
    """
    return UID if os.getuid() == 0 else os.getuid()


def group() -> int:
    """Return the group of the same."""
    return UID if os.getuid() == 0 else os.getgid()


def container(
    spec: WorkerSpec, asked: Profile, places: Places, installation: str, command: Sequence[str]
) -> dict[str, Any]:
    """Return the arguments of a worker's container.

    Args:
        spec: Whose; its devices are the container's for good.
        asked: What every container is like. Its `image` is a name.
        places: What it sees of the host.
        installation: Label by which it is found again.
        command: Arguments of the worker's module.
    """
    around = places.around
    return {
        "name": f"warmcell-{installation[:8]}-{spec.worker_id}",
        "image": around.image or asked.image,
        "command": ["python3", "-m", MODULE, *command],
        "user": f"{user()}:{group()}",
        "working_dir": f"{SESSION}/home",
        "hostname": "worker",
        "stop_signal": "SIGTERM",
        "environment": _environment(asked, around.variables),
        "labels": {INSTALLATION: installation, WORKER: spec.worker_id},
        "mounts": _mounts(places, bool(_devices(spec.devices))),
        **_rights(),
        **_limits(asked),
        **_network(installation, asked.network, spec.environment.block_network),
        **({"runtime": asked.runtime} if asked.runtime else {}),
        "device_requests": _devices(spec.devices),
    }


def _environment(asked: Profile, image: Mapping[str, str]) -> dict[str, str]:
    """Return a worker's variables beside its image's; none of the gateway's own is among them."""
    home, path = f"{SESSION}/home", ":".join(filter(None, (CODE, image.get("PYTHONPATH", ""))))
    found = {"HOME": home, "USER": "cell", "LOGNAME": "cell", "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    if asked.cpus and "OMP_NUM_THREADS" not in image:  # libraries would start a thread for each of the host's
        found["OMP_NUM_THREADS"] = str(max(1, math.floor(asked.cpus)))
    return found


def _mounts(places: Places, has_gpus: bool) -> list[dict[str, Any]]:
    seen = [(RUN, places.run, False), (SESSION, places.room, False), (CODE, places.code, True)]
    if has_gpus:  # where all runtimes of this machine, in containers or not, see who holds a GPU
        seen.append((LOCKS, Path(LOCKS), False))
    seen += [(mount.target, Path(mount.source), not mount.writable) for mount in places.around.bound]
    return [
        {"target": target, "source": str(source), "type": "bind", "read_only": read_only, "propagation": "rprivate"}
        for target, source, read_only in seen
    ]


def _rights() -> dict[str, Any]:
    """Return what is the same for every worker. The engine's default seccomp profile holds: nothing replaces it."""
    return {
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "read_only": True,
        "privileged": False,
        "ipc_mode": "private",
        "ulimits": [{"name": "core", "soft": 0, "hard": 0}],
        "log_config": {"type": "json-file", "config": {"max-size": "1m", "max-file": "1"}},
        "restart_policy": {"Name": "no"},
        "init": False,
    }


def _limits(asked: Profile) -> dict[str, Any]:
    found: dict[str, Any] = {
        "pids_limit": asked.pids,
        "shm_size": asked.shm_bytes,
        # Compilers of kernels load what they have just written there, so it may be executed.
        "tmpfs": {"/tmp": f"rw,exec,nosuid,nodev,size={asked.tmp_bytes},mode=1777"},
    }
    if asked.memory_bytes:
        found |= {"mem_limit": asked.memory_bytes, "memswap_limit": asked.memory_bytes}
    if asked.cpus:
        found["nano_cpus"] = int(asked.cpus * 1e9)
    return found


def _network(installation: str, network: str, is_blocked: bool) -> dict[str, Any]:
    if is_blocked or network == NONE:
        return {"network_mode": "none"}
    return {
        "network_mode": network_name(installation),
        "sysctls": {"net.ipv6.conf.all.disable_ipv6": "1"},  # the rules that block ranges are written for IPv4
    }


def network_name(installation: str) -> str:
    """Return the name of an installation's network."""
    return f"warmcell-{installation[:8]}"


def bridge_name(installation: str) -> str:
    """Return the name of its interface on the host, which has at most 15 letters."""
    return f"wc-{installation[:8]}"


def _devices(ids: Sequence[str]) -> list[dict[str, Any]]:
    """Ask for GPUs by UUID; devices for trial and the processor need nothing."""
    real = [i for i in ids if i != CPU and not i.startswith("sim-")]
    return [{"device_ids": real, "capabilities": [["compute", "utility"]]}] if real else []
