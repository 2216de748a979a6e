"""A pipe behind file descriptor 1 or 2 of a user process: what C code and subprocesses write.

bytes --read end--> text, cut only between characters --> taker(text, stderr)
"""

from __future__ import annotations

import asyncio
import codecs
import fcntl
import os
from collections.abc import Callable
from contextlib import suppress

from remote_runtime.wire import limits

_PIPE_BYTES = 256 * limits.KIB
_READ_BYTES = 64 * limits.KIB
_DRAIN_READS = 2 * _PIPE_BYTES // _READ_BYTES


class Pipe:
    """The reading half.

    Args:
        loop: Where it is read.
        taker: Gets the text, and whether it is stderr.
        stderr: Which of the two this is.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, taker: Callable[[str, bool], None], stderr: bool) -> None:
        self._loop, self._taker, self._stderr = loop, taker, stderr
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._fd: int | None = None

    def open(self) -> int:
        """Make the pipe and listen.

        Returns:
            The writing end, which the caller owns.

        Raises:
            OSError: The system has no descriptor left.
        """
        self._fd, writing = os.pipe()
        with suppress(OSError, AttributeError):  # the system's default size does, only slower
            fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        os.set_blocking(self._fd, False)
        self._loop.add_reader(self._fd, self._read)
        return writing

    def drain(self) -> None:
        """Take what is there now. Bounded: a subprocess that never stops writing holds nobody up."""
        for _ in range(_DRAIN_READS):
            if not self._read():
                return

    def close(self) -> None:
        """Give up what may still come."""
        if self._fd is not None:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = None
            self._pass(self._decoder.decode(b"", final=True))

    def _read(self) -> bool:
        """Take one portion; tell whether there may be more."""
        if self._fd is None:
            return False
        try:
            received = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            received = b""
        if not received:
            self.close()
            return False
        self._pass(self._decoder.decode(received))
        return True

    def _pass(self, text: str) -> None:
        if text:
            self._taker(text, self._stderr)
