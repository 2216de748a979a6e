"""A reply to a fetch -> the one value in it, rebuilt as it may be: as data alone, or as whatever it is."""

from __future__ import annotations

from typing import Any

from kernel_proxy.errors import NotFound, TransferError
from kernel_proxy.exchange import Reply
from remote_runtime.wire.arrival import Arrival
from remote_runtime.wire.datareader import read_data
from remote_runtime.wire.unpacking import unpack


def the_value(reply: Reply, namespace: dict[str, Any], name: str, landing: Arrival | None, data_only: bool) -> Any:
    """Return the value that a session sent.

    Args:
        reply: What it sent.
        namespace: The notebook's names, to which functions are bound.
        name: What was asked for.
        landing: What both ends hold; None for a copy.
        data_only: Whether anything but data is refused.

    Raises:
        NotFound: There is none.
        TransferError: There are several.
        UnpackError: It cannot be rebuilt here, or is refused.
    """
    if reply.bundle is None:
        raise NotFound(f"the session sent no value for {name}", "see `%gpu vars`")
    values = read_data(reply.bundle, landing) if data_only else unpack(reply.bundle, namespace, landing=landing)
    if len(values) != 1:
        raise TransferError(f"the session sent {len(values)} values for {name}", "ask again")
    return next(iter(values.values()))
