"""uv, where it is or can be had: it fetches a Python that the host lacks, into the runtime's own directory.

    "3.12" -> uv python install -> state/pythons/... -> path of the interpreter
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from remote_runtime.engines import records
from remote_runtime.engines.interpreters import no_version

_GET_UV_S, _GET_PYTHON_S = 120.0, 300.0


def find(state: Path | None = None) -> list[str]:
    """Return the words that call uv, none where it is not there.

    Args:
        state: Directory of the runtime, which may have a uv of its own.
    """
    own = state / "tools" / "bin" / "uv" if state is not None else None
    found = shutil.which("uv") or (str(own) if own is not None and own.is_file() else "")
    if found:
        return [found]
    return [sys.executable, "-m", "uv"] if importlib.util.find_spec("uv") is not None else []


def python(version: str, state: Path) -> str:
    """Fetch a Python into the runtime's directory and return its path; one that was fetched before is found again.

    Args:
        version: Such as "3.12".
        state: Directory of the runtime.

    Raises:
        Failed: code "not-found", where it cannot be had; the message says why.
    """
    folder = state / "pythons"
    with suppress(StopIteration):
        return str(next(iter(sorted(folder.glob(f"cpython-{version}*/bin/python{_minor(version)}"), reverse=True))))
    words = find(state) or _fetched(state)
    if not words:
        raise no_version(version, "uv, which does that, is not there and could not be installed")
    records.private_directory(folder)
    environment = {**os.environ, "UV_PYTHON_INSTALL_DIR": str(folder), "UV_HTTP_TIMEOUT": "20"}
    command = [*words, "python", "install", "--no-bin", "--no-progress", version]
    why = _run(command, _GET_PYTHON_S, environment)
    found = sorted(folder.glob(f"cpython-{version}*/bin/python{_minor(version)}"), reverse=True)
    if not found:
        raise no_version(version, why or "uv installed none")
    return str(found[0])


def _fetched(state: Path) -> list[str]:
    """Install uv into the runtime's directory; none where that fails."""
    folder = state / "tools"
    _run([sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--target", str(folder), "uv"], _GET_UV_S)
    return find(state)


def _run(command: list[str], limit_s: float, environment: dict[str, str] | None = None) -> str:
    """Run a command and return why it failed, "" where it did not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, env=environment,
                              stdin=subprocess.DEVNULL)  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return _cause(done.stderr or done.stdout) if done.returncode else ""


def _cause(text: str) -> str:
    """Return what uv or pip names as the cause, which stands before what follows from it."""
    named = [line.strip() for line in text.splitlines() if line.strip().lower().startswith(("error:", "caused by"))]
    return named[0].removeprefix("error: ") if named else last_line(text)


def last_line(text: str) -> str:
    """Return the last line that says something."""
    said = [line.strip() for line in text.splitlines() if line.strip()]
    return said[-1] if said else "it said nothing"


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
