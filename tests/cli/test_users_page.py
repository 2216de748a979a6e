"""The commands of docs/users.md, in their order: on a server and on a laptop, as far as they can be run here."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from socket import create_server

import pytest

from kernel_proxy.runtime import connect
from kernel_proxy.settings import Settings
from tests.cli.conftest import Shell
from tests.client.sweep import sweep

PAGE = Path(__file__).resolve().parents[2] / "docs" / "users.md"
BLOCKS = re.findall(r"```bash\n# on the (server|laptop)\n(.*?)```", PAGE.read_text(), re.DOTALL)
COMMANDS = [(where, line) for where, block in BLOCKS for line in block.strip().splitlines()]
NOT_HERE = ("systemctl",)
"""No service manager runs where tests do; that the unit is one is tested beside this."""


def free_port() -> int:
    with closing(create_server(("127.0.0.1", 0))) as listening:
        return listening.getsockname()[1]


class Story:
    """What the page's reader has at each point."""

    def __init__(self, directory: Path) -> None:
        more = {"HOME": str(directory)}
        self.shells = {"server": Shell(directory / "state", more), "laptop": Shell(directory / "laptop", more)}
        self.ports = {"8470": str(free_port()), "8471": str(free_port())}
        self.token, self.is_over = "", False

    def words(self, line: str) -> list[str]:
        for documented, real in self.ports.items():
            line = line.replace(documented, real)
        return shlex.split(line.replace("https://gpu01", "https://localhost"))[1:]

    def run(self, where: str, line: str) -> str:
        shell, words = self.shells[where], self.words(line)
        if words[0] == "login":
            return self.login(shell, words)
        if words[0] == "stop":
            with closing(connect(Settings(home=shell.home), start=False)) as runtime:
                runtime.open("cpu", words[1], "", {})
        done = shell(*words)
        assert done.returncode == 0 or self.is_over, f"{line}\n{done.stdout}{done.stderr}"
        self.is_over |= words[:3] == ["user", "revoke", "ana"]
        if words[:3] == ["user", "add", "ana"]:
            self.token = done.stdout.split("\n\n")[1]
        return done.stdout

    def login(self, shell: Shell, words: list[str]) -> str:
        """Log in; what a person would compare and type is given as options where the page leaves it out."""
        fingerprint = self.shells["server"].json("up")["fingerprint"]
        words = [fingerprint if word == "FINGERPRINT" else word for word in words]
        if "--token-stdin" not in words:
            words += ["--token-stdin", "--fingerprint", fingerprint]
        process = shell.start(*words, stdin=subprocess.PIPE)
        out, err = process.communicate(self.token, timeout=60)
        assert process.returncode == 0, err
        return out


@pytest.fixture
def story() -> Iterator[Story]:
    with tempfile.TemporaryDirectory(prefix="wc-", dir="/tmp") as directory:
        made = Story(Path(directory))
        yield made
        made.shells["server"]("down", "--force")
        sweep(directory)


def test_every_block_says_where_and_every_command_is_known() -> None:
    assert len(BLOCKS) == PAGE.read_text().count("```bash") >= 5
    assert all(line.startswith(("warmcell ", *NOT_HERE)) for _, line in COMMANDS)


def test_the_page_from_start_to_end(story: Story) -> None:
    told = {line: story.run(where, line) for where, line in COMMANDS if not line.startswith(NOT_HERE)}
    said = lambda start: next(text for line, text in told.items() if line.startswith(start))  # noqa: E731
    assert "as ana (run, until 2" in said("warmcell login")
    assert "ExecStart=" in said("warmcell init --print")
    assert "wc_" in said("warmcell user list") and "publish" in said("warmcell user list")
    findings = json.loads(said("warmcell doctor --json"))["findings"]
    (failed,) = (one for one in findings if one["state"] == "fail")  # by then the page has revoked the laptop's token
    assert "expired or revoked" in failed["sentence"] and "warmcell login" in failed["fix"]
    assert told["warmcell stop SESSION"] == "session SESSION is released\n"
