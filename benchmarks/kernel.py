"""A real kernel under the clock: a cell's time is from sending its request to its reply and idle status."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from jupyter_client.manager import start_new_kernel


@dataclass
class Outcome:
    """What one cell took and printed."""

    seconds: float
    text: list[str] = field(default_factory=list)

    @property
    def line_count(self) -> int:
        """Lines of stdout that arrived."""
        return "".join(self.text).count("\n")


class Kernel:
    """Runs cells in a kernel and times them.

    Args:
        client: A started blocking client.
    """

    def __init__(self, client) -> None:
        self._client = client

    def run(self, code: str, timeout_s: float = 120) -> Outcome:
        """Run one cell to its end.

        Raises:
            RuntimeError: The cell failed; the traceback is in the message.
        """
        start = time.perf_counter()
        request = self._client.execute(code, store_history=True)
        outcome = self._drain(request, timeout_s)
        reply = self._client.get_shell_msg(timeout=timeout_s)
        outcome.seconds = time.perf_counter() - start
        if reply["content"]["status"] != "ok":
            raise RuntimeError("\n".join(reply["content"].get("traceback", [])))
        return outcome

    def times_s(self, code: str, count: int, warmup_count: int = 5) -> list[float]:
        """Time a cell `count` times after a warm-up."""
        return [self.run(code).seconds for _ in range(count + warmup_count)][warmup_count:]

    def _drain(self, request: str, timeout_s: float) -> Outcome:
        outcome = Outcome(0.0)
        while True:
            message = self._client.get_iopub_msg(timeout=timeout_s)
            if message["parent_header"].get("msg_id") != request:
                continue
            content = message["content"]
            if message["msg_type"] == "stream" and content["name"] == "stdout":
                outcome.text.append(content["text"])
            if message["msg_type"] == "status" and content["execution_state"] == "idle":
                return outcome


@contextmanager
def kernel() -> Iterator[Kernel]:
    """Start a real Python kernel and shut it down afterwards."""
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        yield Kernel(client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
