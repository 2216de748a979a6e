"""What both ends of a stream say first: whether they can exchange values at all."""

from __future__ import annotations

from kernel_proxy.channel import BrokenStream
from kernel_proxy.errors import VersionMismatch
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import versions


def check_versions(theirs: pb.Versions) -> None:
    """Compare the other end's versions with ours.

    Raises:
        BrokenStream: Values cannot be exchanged; the failure shows the table.
    """
    rows = versions.blocking(versions.here(), theirs)
    if rows:
        table = versions.table(versions.here(), theirs, rows)
        message = f"{' and '.join(rows)} differ between this kernel and the worker\n{table}"
        hint = "use a kernel and a runtime with the same versions of these"
        raise BrokenStream(pb.Failure(code="version-mismatch", message=message, hint=hint))


def compared(theirs: pb.Versions) -> str | None:
    """Compare the runtime's versions with ours.

    Returns:
        A table of those that differ and may matter, None when there are none.

    Raises:
        VersionMismatch: They speak another protocol. Another Python is no reason to part: it is a worker's Python that
            counts, and a session says which.
    """
    ours = versions.here()
    if ours.protocol != theirs.protocol:
        table = versions.table(ours, theirs, ("protocol",))
        raise VersionMismatch(
            f"protocol differs between this kernel and the runtime\n{table}",
            f"use the same warmcell on both ends; the runtime's is {theirs.warmcell or '-'}",
        )
    differing = dict.fromkeys((*versions.blocking(ours, theirs), *versions.differing(ours, theirs)))
    return versions.table(ours, theirs, differing) if differing else None
