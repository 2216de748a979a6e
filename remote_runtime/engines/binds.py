"""Where a container sees mounts and volumes: bound into it when it is made, and nowhere else on the host.

    target is an absolute path -> bound there
    target is relative         -> bound below `ROOT`; the gateway links to it inside the session's working directory

Both hold: what is to be read only cannot be written, whoever the worker is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from remote_runtime.engines import hardening, places
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.specs import Environment, Mount

ROOT = "/mnt/warmcell"
"""Where a container has what its session sees inside its working directory."""

_KEPT = (
    hardening.RUN, hardening.SESSION, hardening.CODE, hardening.LOCKS, ROOT, "/opt/python", "/proc", "/sys", "/dev",
)  # fmt: skip
_SYSTEM = ("/bin", "/etc", "/lib", "/lib64", "/sbin", "/usr", "/usr/bin", "/usr/lib", "/usr/local", "/var", "/home")


def bound(environment: Environment, volumes: Path) -> tuple[Mount, ...]:
    """Return what is bound: `source` on the host, `target` in the container.

    Args:
        environment: As it was admitted.
        volumes: Directory of the volumes.
    """
    return tuple(Mount(m.source, _inside(m.target), m.writable) for m in places.wanted(environment, volumes))


def seen(environment: Environment, volumes: Path) -> tuple[Mount, ...]:
    """Return what a session sees: `source` in the container, `target` as it was asked for.

    Args:
        environment: As it was admitted.
        volumes: Directory of the volumes.
    """
    return tuple(Mount(_inside(m.target), m.target, m.writable) for m in places.wanted(environment, volumes))


def check(found: Sequence[Mount]) -> None:
    """Refuse what cannot be bound where it is wanted.

    Args:
        found: From `bound`.

    Raises:
        Failed: code "unsupported", for a target that the container needs itself, or that lies in another one.
    """
    for number, mount in enumerate(found):
        shown = mount.target.removeprefix(f"{ROOT}/")
        needed = next((path for path in _KEPT if _meet(mount.target, path)), "") if shown == mount.target else ""
        if needed or mount.target in _SYSTEM:
            what = f"nothing can be seen at {shown}: a worker's container needs its own {needed or shown}"
            raise Failed("unsupported", what, "give another path, or one inside the session's working directory")
        other = next((one.target for one in found[:number] if _meet(one.target, mount.target)), "")
        if other:
            same = other.removeprefix(f"{ROOT}/")
            what = f"{mount.source} cannot be seen at {shown} while something else is seen at {same}"
            raise Failed("unsupported", what, "give each a path that does not lie in another's")


def require(found: Sequence[Mount]) -> None:
    """See that every source is still the directory that was admitted: a link put there since would lead elsewhere.

    Args:
        found: From `bound`.

    Raises:
        Failed: code "unavailable".
    """
    for mount in found:
        if os.path.realpath(mount.source) != mount.source or not os.path.isdir(mount.source):
            raise Failed("unavailable", f"{mount.source} on the runtime's host is no longer the directory that it was",
                         "ask for the mount again")  # fmt: skip


def remarks(environment: Environment) -> list[str]:
    """Say which mounts the rights of the host's files keep from a worker.

    Args:
        environment: As it was admitted.
    """
    return [line for mount in environment.mounts for line in _lacking(mount)]


def _lacking(mount: Mount) -> Iterator[str]:
    try:
        found = os.stat(mount.source)
    except OSError:
        return
    uid, gid = hardening.user(), hardening.group()
    shift = 6 if found.st_uid == uid else 3 if found.st_gid == gid else 0
    asked = (("read", stat.S_IROTH | stat.S_IXOTH), *((("write", stat.S_IWOTH),) if mount.writable else ()))
    for word, bits in asked:
        if found.st_mode >> shift & bits != bits:
            yield f"workers are user {uid} on the host, who may not {word} {mount.source}"


def _inside(target: str) -> str:
    return target if os.path.isabs(target) else f"{ROOT}/{target}"


def _meet(one: str, other: str) -> bool:
    """Tell whether two paths are the same, or one lies in the other."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")
