"""A real sshd on loopback: its own keys, its own configuration, an account there with a home of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kernel_proxy import statedir
from tests.client.sweep import processes, sweep

ROOT = Path(__file__).resolve().parents[2]
SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin") or ""
WHY_NOT = (
    "needs OpenSSH's client and server: run tests/rigs/sshd.sh"
    if not (SSHD and shutil.which("ssh") and (os.getuid() or os.path.isdir("/run/sshd")))
    else ""
)


@dataclass
class Account:
    """An account that is reached over SSH, and this side's way to it.

    Args:
        directory: Where everything of it lies; its path is short.
        name: The alias in the client's configuration.
        jump: The account through whose sshd this one is reached.
        environment: What the account's commands find set.
    """

    directory: Path
    name: str = "gpu01"
    jump: Account | None = None
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    port: int = 0

    @property
    def home(self) -> Path:
        return self.directory / self.name

    @property
    def state(self) -> Path:
        """The state directory of the runtime there."""
        return self.home / ".warmcell"

    @property
    def url(self) -> str:
        return f"ssh://{self.name}"

    @property
    def ssh(self) -> str:
        """How ssh is called so that it finds the account."""
        return f"ssh -F {self.directory / 'config'}"

    def start(self) -> None:
        """Start the server, on the port that it had if it had one."""
        self.home.mkdir(exist_ok=True)
        is_first = not self.port
        for key in (f"{self.name}-host", "mine"):
            if not (self.directory / key).exists():
                words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.directory / key)]
                subprocess.run(words, check=True)
        self.port = self.port or free_port()
        (self.home / "sshd_config").write_text(self._server())
        with open(self.home / "sshd.log", "ab") as log:
            words = [SSHD, "-D", "-e", "-f", str(self.home / "sshd_config")]
            self.process = subprocess.Popen(words, stderr=log, stdout=log)
        await_port(self.port)
        if is_first:
            with open(self.directory / "config", "a") as config:
                config.write(self._client())

    def stop(self) -> None:
        """End the server with every connection to it."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def _server(self) -> str:
        environment = {
            "HOME": self.home, "WARMCELL_HOME": self.state, "WARMCELL_IMPORTS": "json", "PYTHONPATH": ROOT,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **self.environment,
        }  # fmt: skip
        environment = {name: value for name, value in environment.items() if value}
        return "\n".join(
            [
                f"Port {self.port}", "ListenAddress 127.0.0.1", f"HostKey {self.directory / self.name}-host",
                f"PidFile {self.home / 'sshd.pid'}", f"AuthorizedKeysFile {self.directory / 'mine.pub'}", "StrictModes no",
                "UsePAM no", "PasswordAuthentication no", "KbdInteractiveAuthentication no", "PermitRootLogin yes",
                "SetEnv " + " ".join(f"{name}={value}" for name, value in environment.items()), "",
            ]
        )  # fmt: skip

    def _client(self) -> str:
        known = self.directory / "known_hosts"
        host_key = (self.directory / f"{self.name}-host.pub").read_text()
        with open(known, "a") as file:
            file.write(f"[127.0.0.1]:{self.port} {host_key}")
        jump = [f"  ProxyJump {self.jump.name}"] if self.jump is not None else []
        return "\n".join(
            [
                f"Host {self.name}", "  HostName 127.0.0.1", f"  Port {self.port}", f"  UserKnownHostsFile {known}",
                f"  IdentityFile {self.directory / 'mine'}", "  IdentitiesOnly yes", "  StrictHostKeyChecking yes", *jump, "",
            ]
        )  # fmt: skip


@contextmanager
def account(directory: Path, name: str = "gpu01", **more: object) -> Iterator[Account]:
    """Serve an account; afterwards nothing of it runs."""
    made = Account(directory, name, **more)  # type: ignore[arg-type]
    made.start()
    try:
        yield made
    finally:
        made.stop()
        sweep(made.home)
        clear(sockets_of(made.state))


def holders(client: Path) -> list[int]:
    """The processes that hold connections of the kernels on a state directory."""
    return processes(sockets_of(client))


def cut(client: Path) -> None:
    """Kill whatever holds the connection, as a link that drops does."""
    assert holders(client)
    sweep(sockets_of(client))


def hang_up(client: Path) -> None:
    """End the connections of the kernels on a state directory, and leave nothing of them."""
    clear(sockets_of(client))


def sockets_of(state: Path) -> Path:
    """The directory of sockets of a state directory that was used without a login's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("XDG_RUNTIME_DIR", raising=False)
        return statedir.runtime_dir(state)


def clear(directory: Path) -> None:
    """End every process that names a directory, and remove it."""
    sweep(directory)
    shutil.rmtree(directory)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def await_port(port: int) -> None:
    def answers() -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return True
        return False

    until(answers)


def until(holds: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Wait for what nothing announces."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.02)


def mount(at: Path, size: str) -> int:
    """Mount a small disk; tell by another code than 0 that this user may not."""
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(at)]
    return subprocess.run(words, capture_output=True, check=False).returncode


def unmount(at: Path) -> None:
    subprocess.run(["umount", "-l", str(at)], check=True)
