"""`warmcell connect`: where cells run, and going elsewhere; at a terminal ssh may ask its questions.

WHERE -> settings -> Runtime -> remembered for every kernel that starts from now on
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from kernel_proxy import remembered
from kernel_proxy.runtime import connect
from kernel_proxy.settings import Settings

LOCAL = "local"
"""How the embedded runtime is called as a place to go to."""


def go(where: str, settings: Settings, say: Callable[[str], None]) -> dict[str, Any]:
    """Connect to a place, and remember it.

    Args:
        where: An address, or `local`.
        settings: With that address.
        say: Told in a sentence what takes time.

    Returns:
        What was found there, as plain values.

    Raises:
        WarmcellError: It cannot be reached; nothing has changed.
    """
    if where == LOCAL:
        remembered.forget(settings.home)
        return {"url": ""}
    if settings.over_ssh:
        _with_terminal(settings, say)
    runtime = connect(settings, say)
    try:
        info = runtime.describe()
    finally:
        runtime.close()
    remembered.remember(settings.home, settings.url)
    devices = [device.model + (" (simulated)" if device.simulated else "") for device in info.devices]
    return {"url": settings.url, "devices": devices, "python": info.versions.python}


def sentence(found: dict[str, Any]) -> str:
    """Say where cells run."""
    if not found["url"]:
        return "cells run on this machine's own runtime"
    told = f": Python {found['python']}, {', '.join(found['devices'])}" if "python" in found else ""
    return f"cells run on {Settings(url=found['url']).place}{told}"


def _with_terminal(settings: Settings, say: Callable[[str], None]) -> None:
    from kernel_proxy.tunnel import Tunnel  # only this command asks

    Tunnel(settings).open(say, with_terminal=sys.stdin.isatty())
