"""How this process was started, so that it can start one alike: by `-m`, or as `brought`."""

from __future__ import annotations

import os
import sys

MODULE = "remote_runtime.worker"
BROUGHT = "brought.py"


def words() -> list[str]:
    """Return the words between the interpreter and the arguments."""
    found = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
    is_brought = os.path.basename(found[0] if found else "") == BROUGHT
    return found if is_brought else ["-m", MODULE]
