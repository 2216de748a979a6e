"""A real kernel for tests: run a cell, see what it showed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.manager import start_new_kernel


@dataclass
class Shown:
    """What one cell put into the notebook.

    Args:
        outputs: `display_data`, `execute_result`, `stream` and `error` contents with their type, in order.
        status: "ok" or "error".
    """

    outputs: list[dict[str, Any]] = field(default_factory=list)
    status: str = "ok"

    def text(self, stream: str = "stdout") -> str:
        """Everything that a stream printed."""
        return "".join(o["text"] for o in self.outputs if o["type"] == "stream" and o["name"] == stream)

    @property
    def error(self) -> dict[str, Any]:
        """The error output; an empty one when the cell did not fail."""
        found = [o for o in self.outputs if o["type"] == "error"]
        return found[-1] if found else {"ename": "", "evalue": "", "traceback": []}

    @property
    def traceback(self) -> str:
        """The error as the user reads it, without colours."""
        return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(self.error["traceback"]))

    @property
    def result(self) -> str:
        """The text of `Out[n]`."""
        found = [o["data"].get("text/plain", "") for o in self.outputs if o["type"] == "execute_result"]
        return found[-1] if found else ""


class LiveKernel:
    """Runs cells one after another.

    Args:
        manager: The kernel's manager.
        client: A started blocking client.
    """

    def __init__(self, manager: Any, client: Any) -> None:
        self.manager = manager
        self.client = client

    def run(self, code: str, timeout_s: float = 60) -> Shown:
        """Run one cell to its end."""
        request = self.start(code)
        return self.finish(request, timeout_s)

    def start(self, code: str) -> str:
        """Send one cell and return at once; unlike a front end's, it runs though the one before has just failed."""
        return self.client.execute(code, stop_on_error=False)

    def finish(self, request: str, timeout_s: float = 60) -> Shown:
        """Wait for the end of a cell that was sent."""
        shown = Shown()
        while True:
            message = self.client.get_iopub_msg(timeout=timeout_s)
            if message["parent_header"].get("msg_id") != request:
                continue
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                break
            shown.outputs.append({"type": message["msg_type"], **message["content"]})
        shown.status = self.client.get_shell_msg(timeout=timeout_s)["content"]["status"]
        return shown


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a kernel whose runtime lives in `home`."""
    mine = {k: v for k, v in os.environ.items() if not k.startswith("WARMCELL_")}
    return {**mine, "WARMCELL_HOME": str(home), **more}


@contextmanager
def kernel_of(home: Path, **more: str) -> Iterator[LiveKernel]:
    """Start a kernel with the extension loaded, whose runtime lives in `home` and stays when the kernel ends."""
    manager, client = start_new_kernel(kernel_name="python3", env=environment(home, **more))
    kernel = LiveKernel(manager, client)
    try:
        kernel.run("%load_ext warmcell")
        yield kernel
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@contextmanager
def live_kernel(home: Path, **more: str) -> Iterator[LiveKernel]:
    """Start a kernel with the extension loaded; shut kernel and runtime down afterwards."""
    try:
        with kernel_of(home, **more) as kernel:
            yield kernel
    finally:
        stop_runtime(home)


def stop_runtime(home: Path) -> None:
    """Stop the runtime that lives in `home`, if one does."""
    subprocess.run(
        [sys.executable, "-m", "warmcell", "down", "--force"], env=environment(home), capture_output=True, check=False
    )
