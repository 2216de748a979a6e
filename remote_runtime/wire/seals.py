"""Memory of a peer's that arrived with its digest, as long as nobody here has written to it.

    block --seal--> address -> Seal(size, digest)
    address --unbroken--> its digest, or None: no such block, gone, or a page of it was written to

A block is mapped copy-on-write, so the system has given a page of its own to whatever was written here, by whichever
thread and in whatever way, and its table of pages tells: looking takes a sixth of the time of hashing. Where it does
not tell, a seal counts as broken.
"""

from __future__ import annotations

import ctypes
import weakref
from functools import partial
from typing import NamedTuple

from remote_runtime.wire import limits, memory


class Seal(NamedTuple):
    """What is known of a block.

    Args:
        owner: Gives what the block's memory belongs to, while anything refers to it.
        size_bytes: Of the block.
        digest: Of what was sent, see `bulk.digest`.
    """

    owner: weakref.ref[ctypes.Array[ctypes.c_char]]
    size_bytes: int
    digest: bytes


_seals: dict[int, Seal] = {}


def seal(owner: ctypes.Array[ctypes.c_char], digest: bytes) -> None:
    """Note what a block holds that nobody here has seen yet.

    Args:
        owner: The block's memory, mapped copy-on-write.
        digest: Of what lies there; empty where it is not known.
    """
    if digest and len(owner) >= limits.SEALED_BYTES:
        address = ctypes.addressof(owner)
        _seals[address] = Seal(weakref.ref(owner, partial(_drop, address)), len(owner), digest)


def unbroken(address: int, size_bytes: int) -> bytes | None:
    """Return the digest of a whole block that holds what it held when it came; None for any other memory."""
    found = _seals.get(address)
    if found is None or found.size_bytes != size_bytes or memory.is_changed(address, memory.pages(size_bytes)):
        return None
    return found.digest if found.owner() is not None else None


def _drop(address: int, owner: weakref.ref[ctypes.Array[ctypes.c_char]]) -> None:
    # By the garbage collector, anywhere: single operations on the dict only.
    found = _seals.get(address)
    if found is not None and found.owner is owner:
        _seals.pop(address, None)
