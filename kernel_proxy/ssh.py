"""The system's `ssh` program as this project calls it, and what it says when it fails, in words.

    ssh://user@host:port -> Host -> Ssh.command(...) -> run -> what the other side printed, or RuntimeUnavailable

The user's own configuration decides the rest: jump hosts, keys, agents, known hosts. Nothing of a destination can
become an option of the program.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import urlsplit

from kernel_proxy.errors import RuntimeUnavailable, SettingsError

SCHEME = "ssh://"

CONNECT_S = 10
"""How long a TCP connection may take."""

ALIVE_S, ALIVE_COUNT = 4, 3
"""A link that is silent for so many times so long is given up."""

_FAILED = 255
"""Exit code of the program for failures of its own, rather than of the command there."""

_HOST = re.compile(r"(?!-)[A-Za-z0-9._:%\-]+")
_USER = re.compile(r"(?!-)[^@\s:/?#'\"\\]+")


@dataclass(frozen=True)
class Host:
    """Where to.

    Args:
        name: A host's name, address, or alias of the user's configuration.
        user: Account there; empty leaves it to the configuration.
        port: None leaves it to the configuration.
    """

    name: str
    user: str = ""
    port: int | None = None

    @property
    def destination(self) -> str:
        """As the program takes it."""
        return f"{self.user}@{self.name}" if self.user else self.name

    @property
    def url(self) -> str:
        """As the user writes it."""
        name = f"[{self.name}]" if ":" in self.name else self.name
        user, port = f"{self.user}@" if self.user else "", f":{self.port}" if self.port else ""
        return f"{SCHEME}{user}{name}{port}"


def host_of(url: str) -> Host:
    """Read an address such as `ssh://ada@gpu01:2222`.

    Raises:
        SettingsError: It names no host, or more than a host.
    """
    try:
        parts = urlsplit(url)
        name, user, port = parts.hostname or "", parts.username or "", parts.port
    except ValueError:
        name, user, port, parts = "", "", None, urlsplit("")
    whole = parts.scheme == "ssh" and not (parts.query or parts.fragment or parts.password or parts.path.strip("/"))
    if not whole or not _HOST.fullmatch(name) or (user and not _USER.fullmatch(user)):
        raise SettingsError(f"the address {url!r} cannot be read", "write it as ssh://user@host or ssh://host:port")
    start = url.lower().find(name)  # an alias keeps its capitals, which `hostname` has lost
    return Host(url[start : start + len(name)] if start >= 0 else name, user, port)


@dataclass(frozen=True)
class Ssh:
    """How the program is called.

    Args:
        host: Where to.
        program: Its command line, as `ssh` or `ssh -F FILE`.
        control: Path of the socket by which calls share one connection.
    """

    host: Host
    program: str
    control: str

    def command(self, *words: str, options: Sequence[str] = ()) -> list[str]:
        """Return a command line.

        Args:
            words: What to run there; none for none.
            options: Of the program, as `-N`.
        """
        port = ["-p", str(self.host.port)] if self.host.port else []
        shared = ["-S", self.control, "-T", *_settings(_ALWAYS)]
        return [*shlex.split(self.program), *shared, *options, *port, "--", self.host.destination, *words]

    def control_command(self, verb: str, *options: str) -> list[str]:
        """Return the command line that asks the process which holds the connection."""
        return self.command(options=("-O", verb, *options))

    def script(self, *arguments: str) -> list[str]:
        """Return the command line that runs the shell script on its input."""
        return self.command(shlex.join(["sh", "-s", "--", *arguments]))


_ALWAYS = {
    "LogLevel": "ERROR",
    "ConnectTimeout": str(CONNECT_S),
    "ServerAliveInterval": str(ALIVE_S),
    "ServerAliveCountMax": str(ALIVE_COUNT),
    "RemoteCommand": "none",
    "RequestTTY": "no",
    "PermitLocalCommand": "no",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "StreamLocalBindUnlink": "yes",
}
QUIETLY = ("-o", "BatchMode=yes")
"""Options for where nobody could answer a question."""


def _settings(pairs: dict[str, str]) -> list[str]:
    return [word for name, value in pairs.items() for word in ("-o", f"{name}={value}")]


@dataclass(frozen=True)
class Said:
    """What a call of the program gave.

    Args:
        code: Its exit code; None when it took too long and was ended.
        out: Its output.
        err: Its error output.
    """

    code: int | None
    out: str
    err: str


def call(
    command: Sequence[str], timeout_s: float, given: bytes = b"", on_line: Callable[[str], None] | None = None
) -> Said:
    """Call the program and wait for its end.

    Args:
        command: As `Ssh` gives it.
        timeout_s: Longest wait.
        given: Its input.
        on_line: Called with each line of its output as it comes.

    Raises:
        RuntimeUnavailable: The program is not there.
    """
    with tempfile.TemporaryFile() as err:
        process = _started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, start_new_session=True)
        late = threading.Event()
        timer = threading.Timer(timeout_s, lambda: (late.set(), process.kill()))
        timer.daemon = True
        timer.start()
        try:
            out = _exchanged(process, given, on_line)
        finally:
            timer.cancel()
            process.kill()
            process.wait()
        return Said(None if late.is_set() else process.returncode, out, _text(err))


def hold(command: Sequence[str], timeout_s: float, with_terminal: bool = False) -> Said:
    """Call the program where it goes on in the background once it is connected; wait until then.

    Args:
        command: As `Ssh` gives it, with `-f`.
        timeout_s: Longest wait.
        with_terminal: Whether it may ask the user at the terminal of this process.

    Raises:
        RuntimeUnavailable: The program is not there.
    """
    quiet = subprocess.DEVNULL
    with tempfile.TemporaryFile() as err:  # no pipe: what stays in the background might keep it open
        # Without a terminal it gets a session of its own, so that Ctrl-C here does not end what others share.
        process = _started(command, stdin=quiet, stdout=quiet, stderr=err, start_new_session=not with_terminal)
        try:
            code: int | None = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            process.kill()
            process.wait()
        return Said(code, "", _text(err))


def _started(command: Sequence[str], **how: Any) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command, env={**os.environ, "LC_ALL": "C"}, **how)
    except FileNotFoundError:
        message = f"the program `{command[0]}` is not installed on this machine"
        raise RuntimeUnavailable(message, "install OpenSSH's client, or set WARMCELL_SSH to where it is") from None


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def _exchanged(process: subprocess.Popen[bytes], given: bytes, on_line: Callable[[str], None] | None) -> str:
    assert process.stdin is not None and process.stdout is not None
    feeder = threading.Thread(target=_feed, args=(process, given), daemon=True)
    feeder.start()
    lines = []
    for raw in process.stdout:
        lines.append(raw.decode("utf-8", "replace"))
        if on_line is not None:
            on_line(lines[-1].rstrip())
    process.stdout.close()
    process.wait()
    feeder.join()
    return "".join(lines)


def _feed(process: subprocess.Popen[bytes], given: bytes) -> None:
    assert process.stdin is not None
    with suppress(OSError):  # the other side has stopped reading; its exit code and words tell why
        process.stdin.write(given)
    with suppress(OSError):
        process.stdin.close()


_TERMINAL = "run `warmcell connect {url}` in a terminal, where it can ask you"
WORDS: Sequence[tuple[str, str, str]] = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED|host key for .* has changed",
        "the host key of {host} is another one than before",
        "ask who runs it; if that is right, remove the old key with `ssh-keygen -R`, and connect again",
    ),
    (
        "Host key verification failed|host key is known",
        "the host key of {host} is not known on this machine",
        _TERMINAL + ", and compare the fingerprint",
    ),
    (
        "Permission denied|Too many authentication failures|No more authentication methods",
        "{host} does not let {who} in: {line}",
        "add your key to the agent with `ssh-add`, or " + _TERMINAL,
    ),
    ("Could not resolve hostname", "there is no host {host}: {line}", "check the name, and your ~/.ssh/config"),
    ("Connection refused", "no SSH server answers at {host}: {line}", "check the port, and that sshd runs there"),
    (
        "timed out|No route to host|Network is unreachable|Host is down",
        "{host} cannot be reached: {line}",
        "check the network, VPN or jump host",
    ),
    (
        "Connection closed|Connection reset|kex_exchange_identification|Broken pipe|banner exchange",
        "{host} closed the connection: {line}",
        "try again; if it stays, see the log of its sshd",
    ),
    (
        "Bad configuration option|Bad owner or permissions|no argument after keyword|terminating, .* bad config",
        "the configuration of ssh cannot be used: {line}",
        "correct that file",
    ),
    (
        "administratively prohibited|open failed",
        "{host} does not allow to forward a socket: {line}",
        "its sshd needs `AllowStreamLocalForwarding yes`",
    ),
)
"""What the program says -> what happened, what to do."""


def failed(host: Host, said: Said) -> RuntimeUnavailable:
    """Return the failure of a call, in words.

    Args:
        host: Where to.
        said: What the program gave.
    """
    lines = [line.strip() for line in said.err.splitlines() if line.strip()]
    for pattern, message, hint in WORDS:
        matching = [line for line in lines if re.search(pattern, line)]
        if matching:
            words = {"host": host.name, "who": host.user or "you", "line": matching[-1].rstrip("."), "url": host.url}
            return RuntimeUnavailable(message.format(**words), hint.format(**words))
    if said.code is None:
        return RuntimeUnavailable(f"{host.name} did not answer in time", "check the network, and try again")
    last = f": {lines[-1]}" if lines else ""
    return RuntimeUnavailable(f"ssh to {host.name} ended with code {said.code}{last}", f"try `ssh {host.destination}`")


def is_own_failure(said: Said) -> bool:
    """Tell whether the program failed, and not the command there."""
    return said.code in (None, _FAILED)
