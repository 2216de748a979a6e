"""The command line as a person has it: real processes, a state directory of their own, nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kernel_proxy import statedir
from tests.client.sweep import sweep


@dataclass
class Shell:
    """Runs `warmcell` with its own state directory."""

    home: Path
    more: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WARMCELL_")}
        runtime = str(self.home.parent)
        ours = {"WARMCELL_HOME": str(self.home), "WARMCELL_IMPORTS": "json", "XDG_RUNTIME_DIR": runtime}
        return {**kept, **ours, **self.more}

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "warmcell", *words]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(command, text=True, env=self.environment, **options)

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*words)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def json(self, *words: str) -> Any:
        done = self(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @property
    def gateway(self) -> statedir.Gateway | None:
        return statedir.find(self.home)


@pytest.fixture(scope="module")
def shared() -> Iterator[Shell]:
    """One runtime for the tests of a module that only look at it, or clean up after themselves."""
    with tempfile.TemporaryDirectory(prefix="wc-", dir="/tmp") as directory:
        shell = Shell(Path(directory) / "state")
        shell.json("up", "--simulate", "A100:2")
        yield shell
        shell("down", "--force")
        sweep(directory)


@pytest.fixture
def warmcell() -> Iterator[Shell]:
    """A command line whose runtime does not run yet."""
    with tempfile.TemporaryDirectory(prefix="wc-", dir="/tmp") as directory:
        yield Shell(Path(directory) / "state")
        sweep(directory)
