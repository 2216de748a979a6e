"""Digests of files: 128 bits of xxh3 over the content, read once as long as the file stays what it was.

    path -> stat -> known under this stat? -> digest
                 -> read in pieces ------------^

A digest tells whether two files hold the same bytes; it proves nothing against somebody who forges them.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections import OrderedDict
from io import BufferedReader

import xxhash

from remote_runtime.wire import limits

SETTLED_S = 1.0
"""A file that changed later than so long before it was read may change again without its stat showing it."""

REMEMBERED_COUNT = 20_000

_Stamp = tuple[int, int, int, int, int]


class FileChanged(Exception):
    """The file changed while it was read."""


class Digests:
    """Digests of files by their path, with a memory; safe to use from several threads.

    Attributes:
        closed: Set to break off what is being read.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[_Stamp, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self.closed = False

    def of(self, path: str) -> bytes:
        """Return the digest of a regular file's content.

        Raises:
            OSError: It cannot be read, or is no regular file.
            FileChanged: It changed while it was read.
        """
        with open_regular(path) as file:
            stamp = _stamp(os.fstat(file.fileno()))
            with self._lock:
                found = self._known.get(stamp)
            if found is not None:
                return found
            began_s = time.time()
            digest = self._read(file.fileno())
            after = os.fstat(file.fileno())
        if _stamp(after) != stamp:
            raise FileChanged(path)
        if max(after.st_mtime, after.st_ctime) < began_s - SETTLED_S:
            self._remember(stamp, digest)
        return digest

    def _read(self, descriptor: int) -> bytes:
        hasher = xxhash.xxh3_128()
        buffer = bytearray(limits.FILE_PIECE_BYTES)
        view = memoryview(buffer)
        with open(descriptor, "rb", buffering=0, closefd=False) as raw:
            while size := raw.readinto(buffer):
                hasher.update(view[:size])
                if self.closed:
                    raise FileChanged("the reading was broken off")
        return hasher.digest()

    def _remember(self, stamp: _Stamp, digest: bytes) -> None:
        with self._lock:
            self._known[stamp] = digest
            if len(self._known) > REMEMBERED_COUNT:
                self._known.popitem(last=False)


def digest_of(content: bytes) -> bytes:
    """Return the digest of a file that holds this content."""
    return xxhash.xxh3_128_digest(content)


def open_regular(path: str) -> BufferedReader:
    """Open a regular file for reading.

    Raises:
        OSError: It cannot be read, or is a pipe, a device or a folder; a pipe without a writer is not waited for.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no regular file", path)
    return open(descriptor, "rb")


def _stamp(found: os.stat_result) -> _Stamp:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
