"""Engines start and stop workers; found by entry point, loaded when used, skipped when broken.

entry points (group `warmcell.engines`) + BUILT_IN -> load(name, settings) -> Engine
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib import import_module, metadata

from remote_runtime.engines.base import Engine, EngineSettings
from remote_runtime.wire.failures import Failed

GROUP = "warmcell.engines"
"""Entry point group: name -> a subclass of `Engine`."""

BUILT_IN: Mapping[str, str] = {
    "process": "remote_runtime.engines.process:ProcessEngine",
    "docker": "remote_runtime.engines.docker:DockerEngine",
}
"""What is there even where the package runs from a checkout and has no entry points."""

_log = logging.getLogger(__name__)


def found() -> dict[str, str]:
    """Return the engines by name, each as "module:class"; nothing is imported."""
    return {**BUILT_IN, **{point.name: point.value for point in metadata.entry_points(group=GROUP)}}


def load(name: str, settings: EngineSettings) -> Engine:
    """Import one engine and make it.

    Args:
        name: Its entry point's name.
        settings: Passed on to it.

    Raises:
        Failed: code "unavailable", when there is no such engine or it is broken.
    """
    places = {"process": BUILT_IN["process"]} if name == "process" else found()
    if name not in places:
        raise Failed("unavailable", f"there is no engine named {name!r}", f"choose one of {', '.join(sorted(places))}")
    module, _, attribute = places[name].partition(":")
    try:
        kind = getattr(import_module(module), attribute)
        if not issubclass(kind, Engine):
            raise TypeError(f"{places[name]} is no Engine")
    except Exception as error:  # whatever a third party's module raises: it is named, the gateway lives on
        raise Failed(
            "unavailable",
            f"the engine {name!r} ({places[name]}) cannot be loaded: {error}",
            "install what it needs, or choose --engine process",
        ) from error
    return kind(settings)


def usable(settings: EngineSettings) -> dict[str, Engine]:
    """Return every engine that loads; a broken one is named in the log and skipped."""
    engines = {}
    for name in found():
        try:
            engines[name] = load(name, settings)
        except Failed as failure:
            _log.warning("%s", failure.message)
    return engines
