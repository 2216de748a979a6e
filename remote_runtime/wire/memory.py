"""Shared memory as the system gives it: files without a name, their pages, copies into and out of them.

    create -> descriptor --commit--> pages that exist --copying--> bytes
                                                      --drop-----> pages given back

A write to a page that the system cannot supply kills the process, so pages are asked for before they are
written: `commit` fails with an error instead.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from remote_runtime.wire import crew, limits

PAGE_BYTES = mmap.PAGESIZE

_COMMIT_BYTES = 16 * limits.MIB
"""A signal makes the system undo an allocation and begin again: larger ones might never end under a fast timer."""

_POPULATE_WRITE = 23
"""MADV_POPULATE_WRITE, of Linux 5.14."""

PAGE_TABLE = "/proc/self/pagemap"
"""Tells of each page of this process whether it is its own; readable without rights, and absent in some sandboxes."""

_TABLE_PAGES = 4096
"""Pages that one thread looks up: the system takes up to 0.1 µs for each, where its own records are cold."""

_ENTRY_BYTES = 8
_OF_THE_FILE = bytes(flags for flags in range(256) if not flags & 0xC0 or flags & 0x20)
"""Last byte of a pagemap entry whose page is absent (neither present nor swapped), or the file's own."""


def available() -> bool:
    """Tell whether this system has memory files."""
    return sys.platform == "linux" and hasattr(os, "memfd_create")


def create(size_bytes: int, directory: str = "") -> int:
    """Make a file without a name; its pages do not exist yet.

    Args:
        size_bytes: Its size for good.
        directory: A memory file system to make it in; empty for the system's own.

    Returns:
        Its descriptor.

    Raises:
        OSError: There is no descriptor, no room, or the size is above the process's limit.
    """
    if directory:
        fd = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    else:
        fd = os.memfd_create("warmcell-arena", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size_bytes)
        if not directory:
            _seal(fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def commit(fd: int, memory: mmap.mmap, start: int, end: int) -> None:
    """Make the pages of a range exist.

    Args:
        fd: The file.
        memory: The same file, mapped.
        start: First byte, at a page's begin.
        end: Behind the last byte.

    Raises:
        OSError: The system has no memory for them, or the file system is full.
    """
    pin = ctypes.c_char.from_buffer(memory)  # keeps the map from going away meanwhile
    for begin in range(start, end, _COMMIT_BYTES):
        size_bytes = min(_COMMIT_BYTES, end - begin)
        os.posix_fallocate(fd, begin, size_bytes)
        # Where the kernel cannot map them ahead, the copy that follows does it, page by page.
        address = ctypes.c_void_p(ctypes.addressof(pin) + begin)
        _libc().madvise(address, ctypes.c_size_t(size_bytes), _POPULATE_WRITE)


def address_of(source: memoryview) -> int:
    """Return where a buffer lies."""
    with Address(source) as begin:
        return begin


def drop(memory: mmap.mmap, start: int, size_bytes: int) -> None:
    """Give the pages of a range of a shared map back to the system, whoever else maps them."""
    with suppress(OSError):  # then they go with the file
        memory.madvise(mmap.MADV_REMOVE, start, size_bytes)


def forget_changes(private: mmap.mmap, offset: int, size_bytes: int) -> None:
    """Let a range of a copy-on-write map show the file again.

    Pages that only were read stay mapped: the next reader finds them there.
    """
    length = pages(size_bytes)
    address = ctypes.addressof(ctypes.c_char.from_buffer(private, offset))
    if is_changed(address, length):
        private.madvise(mmap.MADV_DONTNEED, offset, length)


def is_changed(address: int, size_bytes: int) -> bool:
    """Tell whether a range of a copy-on-write map has pages of its own; yes where the system does not say.

    Args:
        address: Of its first page.
        size_bytes: Whole pages.
    """
    first, count = address // PAGE_BYTES, size_bytes // PAGE_BYTES
    try:
        file = os.open(PAGE_TABLE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True
    step, found = max(_TABLE_PAGES, -(-count // crew.THREADS_COUNT)), list[int]()
    starts = range(0, count, step)

    def look(number: int) -> None:
        start = starts[number]
        if not found and _has_own_page(file, first + start, min(step, count - start)):
            found.append(number)

    try:
        crew.share(look, len(starts))
    finally:
        os.close(file)
    return bool(found)


def _has_own_page(table: int, first: int, count: int) -> bool:
    """Tell whether one of some pages, counted from address 0, is the process's own; yes where that cannot be read."""
    try:
        entries = os.pread(table, count * _ENTRY_BYTES, first * _ENTRY_BYTES)
    except OSError:
        return True
    flags = entries[_ENTRY_BYTES - 1 :: _ENTRY_BYTES]
    return len(flags) != count or bool(flags.translate(None, _OF_THE_FILE))


@contextmanager
def copying(memory: mmap.mmap, offset: int, source: memoryview) -> Iterator[Callable[[int, int], None]]:
    """Give what copies a range of bytes into a map, without holding the interpreter's lock; in any thread.

    Args:
        memory: The map.
        offset: Where in it.
        source: Contiguous; may be read-only.
    """
    pin = ctypes.c_char.from_buffer(memory, offset)  # keeps the map from going away meanwhile
    target = ctypes.addressof(pin)
    with Address(source) as begin:
        yield lambda start, end: ctypes.memmove(target + start, begin + start, end - start)


def read(fd: int, offset: int, size_bytes: int) -> bytes:
    """Return bytes of a file without mapping it: one that was cut short is an error and no signal.

    Raises:
        OSError: The file ends before.
    """
    found = os.pread(fd, size_bytes, offset)
    if len(found) != size_bytes:
        raise OSError(errno.ENODATA, f"shared memory ends {size_bytes - len(found)} bytes early")
    return found


@lru_cache(maxsize=1)
def ram_bytes() -> int:
    """Return how much memory this process may have at most: the machine's, or its control group's."""
    found = [os.sysconf("SC_PHYS_PAGES") * PAGE_BYTES]
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # "max" where there is none
            found.append(int(Path(limit).read_text()))
    return min(found)


def pages(size_bytes: int) -> int:
    """Round a size up to whole pages; at least one."""
    return max(1, -(-size_bytes // PAGE_BYTES)) * PAGE_BYTES


class _Buffer(ctypes.Structure):
    """`Py_buffer`."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


class Address:
    """The address of a buffer, which is held while it is used; ctypes itself refuses read-only ones."""

    def __init__(self, source: memoryview) -> None:
        self._source, self._found = source, _Buffer()

    def __enter__(self) -> int:
        ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(self._source), ctypes.byref(self._found), 0)
        return self._found.buf or 0

    def __exit__(self, *_: object) -> None:
        ctypes.pythonapi.PyBuffer_Release(ctypes.byref(self._found))


def _seal(fd: int) -> None:
    """Fix a file's size: a reader cannot lose it under its feet."""
    import fcntl  # other systems, whose kernels import this module too, do not have it

    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
