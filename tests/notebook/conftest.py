"""One runtime for all of these tests, one kernel per module; helpers that read what a cell showed."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kernel_proxy.errors import RuntimeUnavailable
from kernel_proxy.runtime import connect
from kernel_proxy.settings import load_settings
from tests.kernels import LiveKernel, Shown, kernel_of, stop_runtime

RUN_MIME = "application/vnd.warmcell.run+json"
OUTPUTS = ("stream", "display_data", "update_display_data", "execute_result", "clear_output", "error")


@contextmanager
def kernel_in(home: Path, **more: str) -> Iterator[LiveKernel]:
    """Start a kernel whose runtime lives in `home`; its sessions go with it, the runtime stays."""
    connection_file = ""
    try:
        with kernel_of(home, **more) as kernel:
            connection_file = kernel.manager.connection_file
            yield kernel
    finally:
        release(home, connection_file)


def release(home: Path, connection_file: str = "") -> None:
    """Release the sessions of a kernel that is gone, or all; a runtime has room for a few at once."""
    try:
        runtime = connect(load_settings({"home": str(home)}, environment={}), start=False)
    except RuntimeUnavailable:
        return
    for session in runtime.describe().sessions:
        if not connection_file or session.notebook == Path(connection_file).stem:
            runtime.release(session.session_id, force=True)
    runtime.close()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("home")
    yield directory
    stop_runtime(directory)


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory for a runtime of one module's own, with declared devices."""
    directory = tmp_path_factory.mktemp("trial")
    yield directory
    stop_runtime(directory)


@pytest.fixture(scope="module")
def kernel(home: Path) -> Iterator[LiveKernel]:
    with kernel_in(home) as kernel:
        yield kernel


def code(text: str) -> str:
    return textwrap.dedent(text).strip("\n")


def is_ours(output: dict[str, Any]) -> bool:
    """Tell a status line, a notice or a receipt from what the user's code showed."""
    data = output.get("data", {})
    text = data.get("text/plain", "")
    return "warmcell" in output.get("metadata", {}) or text.startswith("◐") or (not text and data.get("text/html") == "")


def users(shown: Shown) -> list[dict[str, Any]]:
    """The user's own outputs, streams merged."""
    merged: list[dict[str, Any]] = []
    for output in shown.outputs:
        if output["type"] not in OUTPUTS or is_ours(output):
            continue
        last = merged[-1] if merged else {}
        if output["type"] == "stream" and (last.get("type"), last.get("name")) == ("stream", output["name"]):
            last["text"] += output["text"]
        else:
            merged.append(dict(output))
    return merged


def notices(shown: Shown) -> list[str]:
    found = (output.get("metadata", {}).get("warmcell", {}) for output in shown.outputs)
    return [ours["notice"] for ours in found if "notice" in ours]


def receipt(shown: Shown) -> dict[str, Any]:
    """The facts of the cell's receipt; empty when it has none."""
    found = [output["data"][RUN_MIME] for output in shown.outputs if RUN_MIME in output.get("data", {})]
    return found[-1] if found else {}


def value(kernel: LiveKernel, expression: str) -> Any:
    """A value of the notebook's, by its repr."""
    shown = kernel.run(f"print(repr(({expression})))")
    assert shown.status == "ok", shown.traceback
    return eval(shown.text(), {})
