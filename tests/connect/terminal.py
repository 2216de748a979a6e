"""A command at a terminal of its own, which can be read and typed at."""

from __future__ import annotations

import fcntl
import os
import select
import subprocess
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass


@dataclass
class Terminal:
    """The far side of a terminal, and what sits at it."""

    process: subprocess.Popen[bytes]
    fd: int
    shown: str = ""

    def until(self, text: str, timeout_s: float = 30.0) -> None:
        """Read until something is shown, or the command has ended."""
        while text not in self.shown and select.select([self.fd], [], [], timeout_s)[0]:
            try:
                self.shown += os.read(self.fd, 4096).decode(errors="replace")
            except OSError:  # nobody holds it open any more
                return

    def type(self, line: str) -> None:
        os.write(self.fd, f"{line}\n".encode())


@contextmanager
def terminal(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Terminal]:
    """Run a command whose controlling terminal is ours to play."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(theirs, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        with suppress(OSError):
            process.kill()
        process.wait()
        os.close(ours)
