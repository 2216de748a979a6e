"""The digest of much memory: of the digests of its parts, made by several threads, also while it is copied.

    memory -> digest: the one it came with, where nobody has written to it; else made, part by part
    source -> copy   -> bytes in shared memory, and the digest of just those, whoever writes to the source meanwhile
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable, Sequence

import xxhash

from remote_runtime.wire import crew, limits, memory, seals

STEP_BYTES = 1 * limits.MIB
"""Copied and hashed in turns of this size, the second reading comes from the cache."""

PATIENCE_S = 0.003
"""A step that takes so long has waited for the interpreter's lock: then what is left is done in one step."""


def digest(content: memoryview) -> bytes:
    """Return the digest of memory.

    Args:
        content: Contiguous bytes.
    """
    if content.nbytes >= limits.SEALED_BYTES:
        with memory.Address(content) as address:
            found = seals.unbroken(address, content.nbytes)
        if found is not None:
            return found
    parts = crew.parts(content.nbytes)
    if len(parts) == 1:
        return xxhash.xxh3_128_digest(content)
    digests = [b""] * len(parts)

    def digest_part(number: int) -> None:
        begin, end = parts[number]
        digests[number] = xxhash.xxh3_128_digest(content[begin:end])

    crew.share(digest_part, len(parts))
    return _joined(digests)


def copy(shared: mmap.mmap, offset: int, source: memoryview) -> bytes:
    """Copy bytes into a map.

    Args:
        shared: The map.
        offset: Where in it.
        source: Contiguous bytes; may be read-only.

    Returns:
        The digest of what lies there now; empty for so little that it is hashed as soon as its digest is found.
    """
    parts = crew.parts(source.nbytes)
    digests, target = [b""] * len(parts), memoryview(shared)[offset : offset + source.nbytes]
    with memory.copying(shared, offset, source) as copy_range:
        if source.nbytes < limits.SEALED_BYTES:
            copy_range(0, source.nbytes)
            return b""

        def copy_part(number: int) -> None:
            digests[number] = _copied_part(copy_range, target, *parts[number])

        crew.share(copy_part, len(parts))
    return _joined(digests)


def _copied_part(copy_range: Callable[[int, int], None], target: memoryview, begin: int, end: int) -> bytes:
    """Copy a range; return the digest of what the target holds of it then."""
    hashed, step = xxhash.xxh3_128(), STEP_BYTES
    while begin < end:
        began_s, until = time.perf_counter(), min(begin + step, end)
        copy_range(begin, until)
        hashed.update(target[begin:until])
        begin = until
        if time.perf_counter() - began_s > PATIENCE_S:
            step = end - begin
    return hashed.digest()


def _joined(digests: Sequence[bytes]) -> bytes:
    return digests[0] if len(digests) == 1 else xxhash.xxh3_128_digest(b"".join(digests))
