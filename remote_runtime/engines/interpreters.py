"""Where a Python is that an environment names; here only the runtime's own, until others can be named."""

from __future__ import annotations

import sys

from remote_runtime.wire.failures import Failed
from remote_runtime.wire.specs import Environment


def interpreter_of(environment: Environment) -> str:
    """Return the path of the interpreter that an environment names; the runtime's own where it names none.

    Raises:
        Failed: code "not-found", where there is none.
    """
    own = ".".join(map(str, sys.version_info[:2]))
    if environment.python in ("", own):
        return sys.executable
    raise Failed("not-found", f"there is no Python {environment.python} on this machine",
                 f"use a kernel and an image with Python {own}", {"python": environment.python})  # fmt: skip
