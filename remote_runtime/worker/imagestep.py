"""`python -m remote_runtime.worker.imagestep FILE`: run a function while an image is built.

    FILE (one pickle of function, arguments) -> called -> exit code; what it returns is dropped
"""

from __future__ import annotations

import asyncio
import inspect
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str]) -> int:
    """Call the function in a file; its exception ends the process with a traceback."""
    if "" not in sys.path:
        sys.path.insert(0, "")
    function, args, kwargs = pickle.loads(Path(arguments[0]).read_bytes())
    result = function(*args, **kwargs)
    if inspect.iscoroutine(result):
        asyncio.run(result)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
