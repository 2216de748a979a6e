"""What a zygote imports before it forks, so that no worker has to.

names --import--> modules; the names and versions of those that were asked for
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from types import ModuleType

AHEAD = (
    "IPython.core.interactiveshell",
    "IPython.core.displayhook",
    "IPython.core.displaypub",
    "IPython.core.completer",
    "IPython.display",
    "asyncio",
    "google.protobuf",
    "grpc",
    "grpc.aio",
    "remote_runtime.wire.payload",
    "remote_runtime.worker.keeper",
    "remote_runtime.worker.service",
)
"""What every worker needs, beside what `--imports` names."""

log = logging.getLogger(__name__)


def bring(own: Sequence[str], asked: Sequence[str]) -> dict[str, str]:
    """Import modules, passing over those that are not installed.

    Args:
        own: What workers need.
        asked: What the engine wants; these are reported.

    Returns:
        Version by name of what was asked and is there; "" where a module tells none.
    """
    for name in own:
        _import(name)
    found = {name: _import(name) for name in asked}
    return {name: str(getattr(module, "__version__", "")) for name, module in found.items() if module is not None}


def _import(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        log.info("%s is not imported ahead: %s", name, error)
    except Exception:  # a broken package raises anything; cells that use it will show the same
        log.warning("%s cannot be imported ahead", name, exc_info=True)
    return None
