"""What `warmcell init` writes: a systemd unit or a compose file, as text. Pure: Plan -> text, place, commands.

The unit stops the gateway alone (KillMode=process): cells that run outlive a restart, and are adopted.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HTTP_PORT, GRPC_PORT = 8470, 8471

USER_UNIT, SYSTEM_UNIT, COMPOSE = "user unit", "system unit", "compose"
DOCKER = "docker"
KINDS = (USER_UNIT, SYSTEM_UNIT, COMPOSE)


@dataclass(frozen=True)
class Plan:
    """How a runtime shall be kept running.

    Args:
        kind: One of `KINDS`.
        state: Its state directory.
        host: Address that it listens on.
        name: How clients call this machine.
        http_port: For HTTP.
        grpc_port: For gRPC.
        account: Whom a system unit runs as.
        version: Of warmcell, for the image of a compose file.
        engine: What starts workers; "" for the default, which a compose file cannot have: there it is docker.
        engine_options: The engine's own, as `memory=8g,cpus=2`.
    """

    kind: str
    state: Path
    host: str
    name: str
    http_port: int = HTTP_PORT
    grpc_port: int = GRPC_PORT
    account: str = ""
    version: str = ""
    engine: str = ""
    engine_options: str = ""

    @property
    def words(self) -> list[str]:
        """The words of `warmcell`, behind its name."""
        engine = self.engine or (DOCKER if self.kind == COMPOSE else "")
        options = {"--engine": engine, "--engine-options": self.engine_options}
        return [
            "up", "--foreground", "--state", str(self.state), "--host", self.host, "--http-port", str(self.http_port),
            "--grpc-port", str(self.grpc_port), "--idle-exit-s", "0", "--tls-name", self.name,
            *(word for option, value in options.items() if value for word in (option, value)),
        ]  # fmt: skip

    @property
    def url(self) -> str:
        """The address that users log in to."""
        return f"https://{f'[{self.name}]' if ':' in self.name else self.name}:{self.http_port}"


def place(plan: Plan, home: Path, here: Path) -> Path:
    """Return the file that is written.

    Args:
        plan: What is written.
        home: The user's home directory.
        here: The working directory.
    """
    return {
        USER_UNIT: home / ".config/systemd/user/warmcell.service",
        SYSTEM_UNIT: Path("/etc/systemd/system/warmcell.service"),
        COMPOSE: here / "compose.yaml",
    }[plan.kind]


def text(plan: Plan) -> str:
    """Return what is written."""
    return _compose(plan) if plan.kind == COMPOSE else _unit(plan)


def commands(plan: Plan, admin: str) -> tuple[str, str, str]:
    """Return what to do next: start it, log in from elsewhere, add the next user.

    Args:
        plan: What was written.
        admin: The first admin.
    """
    start = {
        USER_UNIT: "systemctl --user daemon-reload && systemctl --user enable --now warmcell && loginctl enable-linger",
        SYSTEM_UNIT: "systemctl daemon-reload && systemctl enable --now warmcell",
        COMPOSE: "docker compose up --detach --build",
    }[plan.kind]
    state = f" --state {shlex.quote(str(plan.state))}"
    return start, f"warmcell login {plan.url}", f"warmcell user add NAME --scope run{state}"


def _unit(plan: Plan) -> str:
    command = " ".join(map(_quoted, [sys.executable, "-m", "warmcell", *plan.words]))
    account = f"User={plan.account}\n" if plan.kind == SYSTEM_UNIT else ""
    after = " docker.service" if (plan.kind, plan.engine) == (SYSTEM_UNIT, DOCKER) else ""
    wanted = "multi-user.target" if plan.kind == SYSTEM_UNIT else "default.target"
    return f"""\
[Unit]
Description=warmcell: notebook cells on warm workers
Wants=network-online.target
After=network-online.target{after}

[Service]
Type=exec
{account}ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
# Cells that run outlive a restart of the gateway, which adopts their workers.
KillMode=process
Restart=on-failure
RestartSec=2
UMask=0077
LimitNOFILE=65536

[Install]
WantedBy={wanted}
"""


def _quoted(word: str) -> str:
    """Write a word as systemd reads it: % and $ are its own."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return escaped if re.fullmatch(r"[\w@%+=:,./\[\]-]+", escaped) else f'"{escaped}"'


def _compose(plan: Plan) -> str:
    words = _listed(["warmcell", *plan.words])
    ports = _listed([f"{port}:{port}" for port in (plan.http_port, plan.grpc_port)])
    python = ".".join(map(str, sys.version_info[:2]))
    state = json.dumps(_plain(f"{plan.state}:{plan.state}"))
    return f"""\
# The gateway in a container; it starts the workers as containers beside it, by the host's Docker engine.
services:
  warmcell:
    build:
      context: .
      dockerfile_inline: |
        FROM python:{python}-slim
        RUN pip install --no-cache-dir warmcell=={plan.version}
    command: {words}
    init: true
    restart: unless-stopped
    stop_grace_period: 30s
    hostname: {json.dumps(plan.name)}
    ports: {ports}
    environment:
      XDG_RUNTIME_DIR: /run/warmcell
    volumes:
      # Whoever may use this socket is root on the host: give nobody else a shell in this container.
      - /var/run/docker.sock:/var/run/docker.sock
      # By the same paths as on the host, because workers mount what is in them.
      - {state}
      - /run/warmcell:/run/warmcell
"""


def _listed(words: Sequence[str]) -> str:
    return f"[{', '.join(json.dumps(_plain(word)) for word in words)}]"


def _plain(word: str) -> str:
    """Write a word as compose reads it: $ is its own."""
    return word.replace("$", "$$")
