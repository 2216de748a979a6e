"""The first steps of a worker in a Python that does not have this package: nothing is installed there.

    python brought.py LIBRARIES ARGUMENTS -> this package, from where this file lies -> as `-m remote_runtime.worker`

The package is found by its own path and stands on nobody's: user code sees the packages of its environment, and
behind them all, at the end of the path, a folder with what a worker needs and the environment lacks.
"""

from __future__ import annotations

import importlib.util
import os
import sys


def bring(libraries: str) -> None:
    """Make this package importable, and what a worker needs behind all that is installed.

    Args:
        libraries: Folder of packages; "" for none.
    """
    sys.dont_write_bytecode = True  # nothing in the environment is changed, not even by importing it
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here]  # a script's own folder leads
    if libraries:
        sys.path.append(libraries)
    root = os.path.dirname(here)
    spec = importlib.util.spec_from_file_location(
        "remote_runtime", os.path.join(root, "__init__.py"), submodule_search_locations=[root]
    )
    assert spec is not None and spec.loader is not None
    sys.modules[spec.name] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)


if __name__ == "__main__":
    bring(sys.argv.pop(1))
    from remote_runtime.worker.__main__ import main

    sys.exit(main(sys.argv[1:]))
