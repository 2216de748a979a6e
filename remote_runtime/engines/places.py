"""Where mounts and volumes are seen, on an engine whose workers share the host's files: by links.

    target is the source       -> nothing to do
    target is relative         -> a link inside the session's working directory, made when it is claimed
    target is an absolute path -> a link there, made with the worker and removed with the last that wants it;
                                  a mount whose link cannot be made is linked inside the working directory instead

Nothing here is held: whoever may write the source may write it by its own path, too.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from remote_runtime.wire.failures import Failed
from remote_runtime.wire.specs import Environment, Mount

VOLUMES = "volumes"
"""Directory of the runtime's volumes, each under the name that its `VolumeMount` has."""


def wanted(environment: Environment, volumes: Path) -> tuple[Mount, ...]:
    """Return what an environment asks for: `source` on the host, `target` where its sessions want it."""
    named = (Mount(str(volumes / v.name), v.target, not v.read_only) for v in environment.volumes)
    return (*environment.mounts, *named)


def places_of(environment: Environment, volumes: Path) -> tuple[Mount, ...]:
    """Return what a worker shall see: `source` on the host, `target` as its session sees it.

    Args:
        environment: As it was admitted.
        volumes: Directory of the volumes.

    Raises:
        Failed: code "unsupported", for a volume's target that cannot be made.
    """
    mounts = [_placed(mount) for mount in environment.mounts]
    for volume in environment.volumes:
        place = Mount(str(volumes / volume.name), volume.target, not volume.read_only)
        why = _obstacle(place)
        if why:
            name = volume.name.rpartition("/")[2]
            relative = os.path.basename(volume.target.rstrip("/")) or name
            raise Failed(
                "unsupported",
                f"the volume {name} cannot be seen at {volume.target}: {why}, and this engine's workers share the "
                "host's files",
                f"give a path inside the session's working directory, such as `--volume {name}:{relative}`",
            )
        mounts.append(place)
    return tuple(mounts)


def _placed(mount: Mount) -> Mount:
    """Return a mount where it can be seen: at its target, else at the same path inside the working directory."""
    return Mount(mount.source, mount.target.lstrip("/"), mount.writable) if _obstacle(mount) else mount


def _obstacle(place: Mount) -> str:
    """Tell in words why a link cannot be at an absolute target, "" where it can, or need not."""
    target = place.target
    if not os.path.isabs(target) or os.path.realpath(target) == os.path.realpath(place.source):
        return ""
    if os.path.lexists(target):
        return f"{target} is there already"
    parent = os.path.dirname(target)
    if not os.path.isdir(parent):
        return f"there is no {parent}"
    return "" if os.access(parent, os.W_OK) else f"the runtime's user may not write {parent}"


def remarks(environment: Environment, places: Iterable[Mount]) -> list[str]:
    """Say what is not held, and what is seen elsewhere than where it was wanted.

    Args:
        environment: As it was admitted.
        places: Where its mounts and volumes are seen.
    """
    told = [
        f"{place.source} shall only be read, and this engine cannot hold that: it can be written where the "
        "runtime's user may"
        for place in places
        if not place.writable
    ]
    for asked, found in zip(environment.mounts, places, strict=False):
        if asked.target != found.target:
            why = _obstacle(asked)
            told.append(f"{asked.source} is seen at {found.target} in the working directory, because {why}")
    return told


def inside(places: Iterable[Mount]) -> list[Mount]:
    """Return those that are links inside the working directory."""
    return [place for place in places if not os.path.isabs(place.target)]


def lay(places: Iterable[Mount], directory: Path) -> list[str]:
    """Make the links inside a working directory, and return their paths relative to it.

    Raises:
        Failed: code "files", where something else has the name.
    """
    laid = inside(places)
    for place in laid:
        link = directory / place.target
        if _leads_out(directory, place.target):
            what = f"{place.source} cannot be seen at {place.target} in the working directory: a link is in the way"
            raise Failed("files", what, "choose another target, or remove the link in a cell of a session without it")
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink():
            link.unlink()  # of an earlier session
        elif link.exists():
            what = f"{place.source} cannot be seen at {place.target} in the session's working directory: that is taken"
            raise Failed("files", what, "choose another target, or remove it in a cell of a session without it")
        link.symlink_to(place.source)
    return [place.target for place in laid]


def lift(links: Iterable[str], directory: Path) -> None:
    """Remove links inside a working directory, and the folders that were made for them."""
    for name in links:
        link = directory / name
        if link.is_symlink() and not _leads_out(directory, name):
            with suppress(OSError):
                link.unlink()
                for parent in list(Path(name).parents)[:-1]:
                    (directory / parent).rmdir()


def _leads_out(directory: Path, name: str) -> bool:
    """Tell whether cells have put a link where a folder above a name shall be; nothing is done through one."""
    return any((directory / parent).is_symlink() for parent in list(Path(name).parents)[:-1])


def lay_absolute(places: Iterable[Mount]) -> None:
    """Make the links at absolute paths that are not there yet.

    Raises:
        OSError: One cannot be made after all.
    """
    for place in places:
        if os.path.isabs(place.target) and not os.path.lexists(place.target):
            os.symlink(place.source, place.target)


def lift_absolute(places: Iterable[Mount], others: Iterable[Mount]) -> None:
    """Remove the links at absolute paths that nobody else wants.

    Args:
        places: Of a worker that is gone.
        others: Of those that live.
    """
    wanted = {place.target for place in others}
    for place in places:
        if os.path.isabs(place.target) and place.target not in wanted:
            with suppress(OSError):
                if os.path.islink(place.target) and os.readlink(place.target) == place.source:
                    os.unlink(place.target)
