"""What runs on a host that somebody has come to over SSH: the gateway of that account, found or started.

    python -m kernel_proxy.hosted start|look -> one line: the mark, then JSON (where the gateway is, or a failure)

The mark tells the line from what the account's own startup files print.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import replace
from typing import Any

from kernel_proxy import embedded
from kernel_proxy.errors import WarmcellError
from kernel_proxy.settings import load_settings

MARK = "warmcell-answers:"


def main(verb: str) -> int:
    """Find the gateway, and print where it is.

    Args:
        verb: `start` it where none runs, or only `look`.
    """
    # A session's runtime directory is removed when its last login ends, and the gateway outlives that.
    os.environ.pop("XDG_RUNTIME_DIR", None)
    try:
        answer = _answer(verb == "start")
    except WarmcellError as error:
        answer = {"message": error.message, "hint": error.hint}
    print(MARK + json.dumps(answer), flush=True)
    return 0


def _answer(start: bool) -> dict[str, Any]:
    settings = replace(load_settings({"url": ""}), url="")
    gateway = embedded.find(settings.home)
    started = gateway is None and start
    if gateway is None and not start:
        return {"home": str(settings.home)}
    gateway = gateway or embedded.find_or_start(embedded.launch_of(settings))[0]
    return {
        "unix": gateway.unix,
        "token": gateway.token,
        "http": gateway.http,
        "home": str(settings.home),
        "python": sys.executable,
        "version": platform.python_version(),
        "started": started,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
