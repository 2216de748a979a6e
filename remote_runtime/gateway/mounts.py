"""Directories of the host that sessions may see: what the admin has listed, and nothing beside it.

    Mount as asked for --links resolved, listed?--> Mount as it is bound
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import PurePosixPath

from remote_runtime.wire.failures import Failed
from remote_runtime.wire.specs import Mount


def allowed(mount: Mount, listed: Mapping[str, bool]) -> Mount:
    """Return a mount with its links resolved, writable where that was listed and asked for.

    Args:
        mount: As asked for; no target means the source's own path.
        listed: Directory -> whether it may be written.

    Raises:
        Failed: code "unsupported", for what is not listed; "not-found", for what is, and is not there.
    """
    source = mount.source
    if not os.path.isabs(source) or ".." in PurePosixPath(source).parts:
        raise Failed("unsupported", f"the mount `{source}` is no whole path of the runtime's host",
                     "write it from the root, without `..`")  # fmt: skip
    real = os.path.realpath(source)
    roots = [path for path in listed if _is_under(real, os.path.realpath(path))]
    if not roots:
        raise Failed("unsupported", f"this runtime does not offer the directory {source}", _offered(listed))
    if not os.path.isdir(real):
        raise Failed("not-found", f"there is no directory {source} on the runtime's host", _offered(listed))
    root = max(roots, key=lambda path: len(os.path.realpath(path)))
    return Mount(real, target_of(mount.target or source, source), mount.writable and listed[root])


def target_of(target: str, what: str) -> str:
    """Return where something shall be seen, in its shortest form.

    Raises:
        Failed: code "unsupported", for a target that climbs, or names nothing of its own.
    """
    short = os.path.normpath(target)
    if ".." in PurePosixPath(target).parts or short in ("/", ".", "//"):
        raise Failed("unsupported", f"`{target}` is no place for {what} to be seen at",
                     "give a path below the root, or one inside the session's working directory")  # fmt: skip
    return short


def _is_under(path: str, root: str) -> bool:
    return path == root or path.startswith(os.path.join(root, ""))


def _offered(listed: Mapping[str, bool]) -> str:
    if not listed:
        return "its admin lists directories in gateway.toml, such as `[mounts]` and below it `\"/data\" = \"ro\"`"
    return "it offers " + ", ".join(f"{path} ({'rw' if mode else 'ro'})" for path, mode in sorted(listed.items()))
