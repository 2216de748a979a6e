"""What is imported before anybody needs it.

names --import--> modules; versions of those that were asked for, and the threads that they have started
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType

from remote_runtime.worker import threads

USER = (
    "IPython.core.interactiveshell",
    "IPython.core.displayhook",
    "IPython.core.displaypub",
    "IPython.core.completer",
    "IPython.display",
    "asyncio",
    "google.protobuf",
    "remote_runtime.wire.payload",
)
"""What every user process needs, beside what `--imports` names."""

KEEPER = ("grpc", "grpc.aio", "remote_runtime.worker.keeper", "remote_runtime.worker.service")
"""What every keeper needs."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Brought:
    """What an import ahead has brought.

    Args:
        versions: Of what was asked and is there; "" where a module tells none.
        threads: Id of a thread -> the module whose import started it.
    """

    versions: dict[str, str] = field(default_factory=dict)
    threads: dict[int, str] = field(default_factory=dict)

    def outliving_a_fork(self) -> dict[str, int]:
        """Count, by module, the threads that a fork would not take along; a fork is tried where there are any."""
        left = threads.surviving_a_fork() if self.threads else ()
        modules = [self.threads[i] for i in left if i in self.threads]
        return {module: modules.count(module) for module in modules}


def bring(own: Sequence[str], asked: Sequence[str]) -> Brought:
    """Import modules, passing over those that are not installed.

    Args:
        own: What workers need.
        asked: What the engine wants; their versions are reported.
    """
    found = Brought()
    for name in (*own, *asked):
        before = threads.ids()
        module = _import(name)
        found.threads.update(dict.fromkeys(threads.ids() - before, name))
        if name in asked and module is not None:
            found.versions[name] = str(getattr(module, "__version__", ""))
    return found


def _import(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        log.info("%s is not imported ahead: %s", name, error)
    except Exception:  # a broken package raises anything; cells that use it will show the same
        log.warning("%s cannot be imported ahead", name, exc_info=True)
    return None
