"""A page of the docs as what its reader types, and the reader's machines: a server's account, a laptop's, a notebook.

    ```LANGUAGE WHERE [HOW] -> Block -> bash, a file, or a cell of a real kernel

Words that only hold on the reader's machines are replaced by those that hold here.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from kernel_proxy import statedir
from tests.kernels import LiveKernel, kernel_of

ELSEWHERE = "from remote_runtime.wire import versions\nversions.host_id = lambda: 'another machine'"
LIMIT_S = 240.0


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Args:
        section: The heading above it.
        language: `bash`, `python` or `toml`.
        where: `server` or `laptop`.
        how: "", `by-hand` where it cannot be run here, `service` for a service manager, or a file's name.
        text: What is in it.
    """

    section: str
    language: str
    where: str
    how: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page that say where they are typed, in their order."""
    found = []
    for part in page.read_text().split("\n## ")[1:]:
        fences = re.findall(r"```(\w+) (server|laptop) ?(\S*)\n(.*?)```", part, re.DOTALL)
        found += [Block(part.partition("\n")[0], *fence) for fence in fences]
    return found


class Story:
    """What the page's reader has at each point.

    Args:
        directory: Short; both machines' home directories lie in it.
        replaced: Words of the page -> what holds here.
    """

    def __init__(self, directory: Path, replaced: Mapping[str, str]) -> None:
        self.homes = {where: directory / where for where in ("server", "laptop")}
        self.replaced, self.token = replaced, ""
        self._directory, self._stack = directory, ExitStack()
        self._service: subprocess.Popen[bytes] | None = None
        self._kernel: LiveKernel | None = None
        for home in (*self.homes.values(), directory / "bin"):
            home.mkdir()
        program = directory / "bin" / "warmcell"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m warmcell "$@"\n')
        program.chmod(0o755)

    @property
    def state(self) -> Path:
        """The server's state directory."""
        return self.homes["server"] / ".warmcell"

    def tell(self, block: Block) -> str:
        """Do what a block says, and return what is shown."""
        text = block.text
        for documented, real in self.replaced.items():
            text = text.replace(documented, real)
        if block.how == "service":
            return self._manage(text)
        if block.language == "bash":
            return self._typed(block.where, text)
        if block.language == "toml":
            (self.homes[block.where] / block.how).write_text(text)
            return ""
        return self._cell(text)

    def close(self) -> None:
        """End the kernel and the runtime."""
        self._stack.close()
        self._typed("server", "warmcell down --force")
        if self._service is not None:
            self._service.wait(30)

    def _environment(self, where: str) -> dict[str, str]:
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("WARMCELL_", "XDG_"))}
        path = f"{self._directory / 'bin'}:{os.environ['PATH']}"
        return {**mine, "HOME": str(self.homes[where]), "XDG_RUNTIME_DIR": str(self._directory), "PATH": path,
                "HF_TOKEN": "hf_of_ben", "WARMCELL_AHEAD": "never"}  # fmt: skip

    def _typed(self, where: str, text: str) -> str:
        """Run lines in a shell; whoever logs in pastes the token and has compared the fingerprint."""
        if "warmcell login" in text:
            printed = re.search(r"(?:[0-9A-F]{2}:){31}[0-9A-F]{2}|[0-9a-f]{64}", self._typed("server", "warmcell up --json"))
            text = re.sub(r"(warmcell login \S+)", rf"\1 --token-stdin --fingerprint {printed[0]}", text)
        done = subprocess.run(["bash", "-euc", text], input=self.token, capture_output=True, text=True, timeout=LIMIT_S,
                              cwd=self.homes[where], env=self._environment(where))  # fmt: skip
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        if "warmcell user add" in text:
            self.token = done.stdout.split("\n\n")[1]
        return done.stdout

    def _cell(self, text: str) -> str:
        """Run a cell in the notebook on the laptop, which is another machine to the runtime."""
        if self._kernel is None:
            laptop = self._environment("laptop")
            self._kernel = self._stack.enter_context(kernel_of(self.homes["laptop"] / ".warmcell", **laptop))
            assert self._kernel.run(ELSEWHERE).status == "ok"
        shown = self._kernel.run(text, LIMIT_S)
        assert shown.status == "ok", f"{text}\n{shown.traceback}"
        return shown.text()

    def _manage(self, text: str) -> str:
        """Stand in for systemd: start what the unit says; to stop ends that process alone, as the unit says too."""
        verbs = re.findall(r"\b(stop|restart|start|enable)\b", text)
        if {"stop", "restart"} & {*verbs} and self._service is not None:
            self._service.terminate()
            assert self._service.wait(30) == 0
        if {"start", "restart", "enable"} & {*verbs}:
            self._start()
        return ""

    def _start(self) -> None:
        unit = (self.homes["server"] / ".config/systemd/user/warmcell.service").read_text()
        line = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
        with open(self._directory / "journal", "ab") as journal:
            self._service = subprocess.Popen(shlex.split(line.removeprefix("ExecStart=")), stdout=journal, stderr=journal,
                                             env=self._environment("server"))  # fmt: skip
        deadline = time.monotonic() + LIMIT_S
        while statedir.find(self.state) is None:
            assert self._service.poll() is None and time.monotonic() < deadline, (self._directory / "journal").read_text()
            time.sleep(0.02)
