"""A real kernel for tests: run a cell, see what it showed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
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
        self.others: list[dict[str, Any]] = []
        """Messages on IOPub that answered another request than the one waited for, oldest first."""

    def run(self, code: str, timeout_s: float = 60, *, allow_stdin: bool = True) -> Shown:
        """Run one cell to its end."""
        request = self.start(code, allow_stdin=allow_stdin)
        return self.finish(request, timeout_s)

    def start(self, code: str, *, allow_stdin: bool = True) -> str:
        """Send one cell and return at once; unlike a front end's, it runs though the one before has just failed."""
        return self.client.execute(code, allow_stdin=allow_stdin, stop_on_error=False)

    def asked(self, timeout_s: float = 60) -> dict[str, Any]:
        """Wait for a prompt."""
        return self.client.get_stdin_msg(timeout=timeout_s)["content"]

    def answer(self, text: str) -> None:
        """Answer a prompt."""
        self.client.input(text)

    def send_comm(self, comm_id: str, data: dict[str, Any], kind: str = "comm_msg") -> str:
        """Send what a front end sends to a widget."""
        message = self.client.session.msg(kind, {"comm_id": comm_id, "data": data})
        self.client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def wait_for(self, found: Callable[[dict[str, Any]], bool], timeout_s: float = 30) -> dict[str, Any]:
        """Wait for a message on IOPub that comes outside a cell, or came while another was waited for."""
        while not (match := [message for message in self.others if found(message)]):
            self.others.append(self.client.get_iopub_msg(timeout=timeout_s))
        self.others.remove(match[0])
        return match[0]

    def finish(self, request: str, timeout_s: float = 60) -> Shown:
        """Wait for the end of a cell that was sent."""
        shown = Shown()
        while True:
            message = self.client.get_iopub_msg(timeout=timeout_s)
            if message["parent_header"].get("msg_id") != request:
                self.others.append(message)
                continue
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                break
            shown.outputs.append({"type": message["msg_type"], **message["content"]})
        shown.status = self._replied(request, timeout_s)["status"]
        return shown

    def _replied(self, request: str, timeout_s: float) -> dict[str, Any]:
        """Wait for the reply to one request; a kernel that was slow to start still answers when it was asked if it had."""
        while True:
            reply = self.client.get_shell_msg(timeout=timeout_s)
            if reply["parent_header"].get("msg_id") == request:
                return reply["content"]


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a kernel whose runtime lives in `home`."""
    mine = {k: v for k, v in os.environ.items() if not k.startswith("WARMCELL_")}
    return {**mine, "WARMCELL_HOME": str(home), "WARMCELL_AHEAD": "never", **more}


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


def play(kernel: LiveKernel, *cells: str) -> Shown:
    """Run cells that all end well; a cell that begins with `G` runs there. Return the last one."""
    shown = Shown()
    for cell in cells:
        shown = kernel.run(f"%%gpu cpu\n{cell[2:]}" if cell.startswith("G ") else cell)
        assert shown.status == "ok", f"{cell}: {shown.traceback}"
    return shown
