"""Shares: how much of a device each holder means to take, and what that leaves for another. Pure.

    device, its holds, share -> fits        whole (no share named): fits where nobody is, and leaves nothing

A share is a promise about memory that admission keeps count of; nothing stops a program from taking more. Where NVML
tells how much is really free, that counts too, so a device is not promised twice to one who has taken more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from remote_runtime.engines.base import Device


@dataclass(frozen=True)
class Hold:
    """Who holds a device.

    Args:
        session_id: Of the holder; "" where it is no session of this runtime.
        holder: In words, such as "session nb-demo".
        idle_s: How long it has been idle, None while it may not be released.
        share_bytes: Memory of the device that it means to take; None means all of it.
    """

    session_id: str
    holder: str
    idle_s: float | None = None
    share_bytes: int | None = None


def left_bytes(device: Device, holds: Sequence[Hold]) -> int:
    """Return how much of a device's memory may still be promised; 0 where nothing is known of it."""
    if device.state == "failed" or device.memory_bytes is None:
        return 0
    if any(hold.share_bytes is None for hold in holds):
        return 0
    left = device.memory_bytes - sum(hold.share_bytes or 0 for hold in holds)
    return max(0, left if device.free_bytes is None else min(left, device.free_bytes))


def fits(device: Device, holds: Sequence[Hold], share_bytes: int | None) -> bool:
    """Tell whether a share can be taken beside those who hold a device already.

    Args:
        device: As it is now; one that a stranger computes on has no room for who wants all of it.
        holds: Who is there.
        share_bytes: What is asked for; None means all of it.
    """
    if share_bytes is None:
        return device.state == "free" and not holds
    return share_bytes <= left_bytes(device, holds)


def could_fit(device: Device, share_bytes: int | None) -> bool:
    """Tell whether a share fits a device that nobody holds."""
    return share_bytes is None or (device.memory_bytes is not None and share_bytes <= device.memory_bytes)
