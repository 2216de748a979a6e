"""The file objects through which a cell prints, and what makes them whole again after a cell has closed them.

print -> sys.stdout: TextStream -> Outputs.put;  sys.stdout.buffer: ByteStream -> TextStream
a run begins -> Streams.repair: descriptors 1 and 2, sys.stdout and sys.stderr are usable
"""

from __future__ import annotations

import codecs
import faulthandler
import io
import os
import sys
import warnings
from typing import Any

from remote_runtime.worker.outputs import Outputs


class TextStream(io.TextIOBase):
    """`sys.stdout` or `sys.stderr` of a cell.

    Args:
        outputs: Where the text goes.
        is_stderr: Which of the two it is.
    """

    encoding = "utf-8"
    errors = "replace"
    newlines = None
    mode = "w"

    def __init__(self, outputs: Outputs, is_stderr: bool) -> None:
        super().__init__()
        self._outputs, self._is_stderr, self._put = outputs, is_stderr, outputs.put
        self._shut = False
        self.name = "<stderr>" if is_stderr else "<stdout>"
        self.buffer = ByteStream(self)

    def write(self, text: str) -> int:
        """Print text.

        Raises:
            TypeError: It is no text.
            ValueError: The stream is closed.
        """
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self._shut:
            raise ValueError("I/O operation on closed file")
        self._put(self._is_stderr, text)
        return len(text)

    def flush(self) -> None:
        """Send what was printed."""
        self._outputs.flush()

    def close(self) -> None:
        """Close the stream until the next run."""
        self._outputs.flush()
        self._shut = True

    def reopen(self) -> None:
        """Make a closed stream usable again."""
        self._shut = False

    @property
    def closed(self) -> bool:
        """Whether the cell has closed it."""
        return self._shut

    @property
    def line_buffering(self) -> bool:
        """As a terminal's: whoever asks flushes less."""
        return True

    def reconfigure(self, **_: object) -> None:
        """Accept what programs ask of a terminal; there is nothing to change."""

    def writable(self) -> bool:
        """Tell that text can be written."""
        return True

    def isatty(self) -> bool:
        """Tell that no terminal is there."""
        return False

    def fileno(self) -> int:
        """Return the descriptor whose text is shown beside this stream's: what subprocesses write to."""
        return 2 if self._is_stderr else 1


class ByteStream(io.BufferedIOBase):
    """`sys.stdout.buffer`: bytes in utf-8.

    Args:
        text: The stream they go to.
    """

    def __init__(self, text: TextStream) -> None:
        super().__init__()
        self.raw = self
        self._text = text
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def write(self, data: Any) -> int:
        """Print bytes; a character that is not whole waits for its rest."""
        held = bytes(data)
        self._text.write(self._decoder.decode(held))
        return len(held)

    def flush(self) -> None:
        """Send what was printed."""
        self._text.flush()

    def writable(self) -> bool:
        """Tell that bytes can be written."""
        return True

    def fileno(self) -> int:
        """Return the text stream's descriptor."""
        return self._text.fileno()


class Streams:
    """`sys.stdout` and `sys.stderr`, and the pipes on descriptors 1 and 2, which a cell may close.

    Args:
        outputs: Where text goes.
    """

    def __init__(self, outputs: Outputs) -> None:
        self._ours = {1: TextStream(outputs, False), 2: TextStream(outputs, True)}
        self._pipes = {fd: os.dup(fd) for fd in self._ours}

    def install(self) -> None:
        """Put them in place, once."""
        sys.stdout, sys.stderr = self._ours[1], self._ours[2]
        for fd, name in ((1, "__stdout__"), (2, "__stderr__")):
            plain = open(fd, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
            setattr(sys, name, plain)
        faulthandler.enable(self._pipes[2])
        warnings.filterwarnings("default", category=DeprecationWarning, module="__main__")

    def repair(self) -> None:
        """Open again what the last run closed; what it has put in their place and left open stays."""
        for fd, name in ((1, "stdout"), (2, "stderr")):
            if _inode(fd) != _inode(self._pipes[fd]):
                os.dup2(self._pipes[fd], fd)
            self._ours[fd].reopen()
            if getattr(getattr(sys, name), "closed", True):
                setattr(sys, name, self._ours[fd])


def _inode(fd: int) -> int | None:
    try:
        return os.fstat(fd).st_ino
    except OSError:
        return None
