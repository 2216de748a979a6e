r"""One shared connection to a host: a process of ssh's that every kernel of this user uses, and a forwarded socket.

    link.up() -> is it there? -> yes
                   \- no, or it hangs -> ended -> ssh -M, in the background
    link.forwarded(socket there) -> socket here

The connection ends by itself some minutes after the last kernel has left. One that has died is made anew when it is
next needed; two kernels that need it at once are kept apart by a lock.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kernel_proxy import ssh, statedir
from kernel_proxy.errors import RuntimeUnavailable

LINGER_S = 600
"""How long the connection outlives its last user."""

LOOK_S = 3.0
"""How long the process that holds it may take to answer."""

OPEN_S = 60.0
"""How long it may take to connect, with a touch of a key or an answer at the terminal."""


class Link:
    """The connection to one host.

    Args:
        host: Where to.
        program: The command line of ssh.
        directory: Private directory with a short path, for its sockets.
    """

    def __init__(self, host: ssh.Host, program: str, directory: Path) -> None:
        tag = hashlib.blake2b(f"{host.url} {program}".encode(), digest_size=4).hexdigest()
        self._stem = directory / tag
        self.ssh = ssh.Ssh(host, program, f"{self._stem}.ctl")

    def up(self, with_terminal: bool = False) -> bool:
        """See to it that there is a connection.

        Args:
            with_terminal: Whether ssh may ask the user at the terminal.

        Returns:
            Whether it was there already.

        Raises:
            RuntimeUnavailable: There can be none; the message says why in words.
        """
        with self._alone():
            if self._holder() is not None:
                return True
            self._end_stuck()
            options = ["-M", "-N", "-f", "-o", f"ControlPersist={LINGER_S}", "-o", "ClearAllForwardings=yes"]
            options += [] if with_terminal else ssh.QUIETLY
            said = ssh.hold(self.ssh.command(options=options), OPEN_S, with_terminal)
            if said.code != 0:
                raise ssh.failed(self.ssh.host, said)
            holder = self._holder()
            self._pid_file.write_text(str(holder or ""))
            return False

    def forwarded(self, there: str) -> str:
        """Return the path here of a socket that leads to one there.

        Raises:
            RuntimeUnavailable: The host does not allow it.
        """
        tag = hashlib.blake2b(there.encode(), digest_size=4).hexdigest()
        here = f"{self._stem}-{tag}.sock"
        said = ssh.call(self.ssh.control_command("forward", "-L", f"{here}:{there}"), LOOK_S)
        if said.code != 0:
            raise ssh.failed(self.ssh.host, said)
        return here

    def renewed(self, with_terminal: bool = False) -> bool:
        """End a connection through which nothing comes, and make another; tell whether that was so.

        Raises:
            RuntimeUnavailable: There can be none.
        """
        if ssh.call(self.ssh.command("true", options=ssh.QUIETLY), LOOK_S).code == 0:
            return False
        with self._alone():
            self._end_stuck()
        self.up(with_terminal)
        return True

    def down(self) -> None:
        """End the connection, for everyone."""
        ssh.call(self.ssh.control_command("exit"), LOOK_S)
        self._end_stuck()

    def _holder(self) -> int | None:
        """Return the process that holds the connection; None where there is none, or it does not answer."""
        if not os.path.exists(self.ssh.control):
            return None
        said = ssh.call(self.ssh.control_command("check"), LOOK_S)
        found = re.search(r"pid=(\d+)", said.err + said.out)
        return int(found[1]) if said.code == 0 and found else None

    def _end_stuck(self) -> None:
        """End a process that does not answer: its link is dead, and it has not found out."""
        with suppress(OSError, ValueError):
            pid = int(self._pid_file.read_text())
            if self.ssh.control in _command_line(pid):  # the number may be somebody else's by now
                os.kill(pid, signal.SIGKILL)
        for left in (self._pid_file, Path(self.ssh.control)):
            left.unlink(missing_ok=True)

    @property
    def _pid_file(self) -> Path:
        return self._stem.with_suffix(".pid")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            import fcntl  # POSIX only, as are connections that are shared
        except ImportError:
            message = "a connection over SSH needs what Windows lacks"
            raise RuntimeUnavailable(message, "use it in WSL, or let the runtime listen with TLS") from None
        with open(f"{self._stem}.lock", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def link_to(host: ssh.Host, program: str, home: Path) -> Link:
    """Return the link to a host that the kernels on a state directory share.

    Raises:
        RuntimeUnavailable: This system cannot share connections, or has no private directory.
    """
    if not hasattr(os, "getuid"):
        message = "a connection over SSH needs what this system lacks"
        raise RuntimeUnavailable(message, "use it in WSL, or let the runtime listen with TLS")
    return Link(host, program, statedir.runtime_dir(home))


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        found = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return found.stdout
