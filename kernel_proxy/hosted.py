"""What runs on a host that somebody has come to over SSH: the gateway of that account, found or started.

    python -m kernel_proxy.hosted -> one line: the mark, then JSON (where the gateway is and its token, or a failure)

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


def main() -> int:
    """Find or start the gateway, and print where it is."""
    # A session's runtime directory is removed when its last login ends, and the gateway outlives that.
    os.environ.pop("XDG_RUNTIME_DIR", None)
    try:
        answer = _answer()
    except WarmcellError as error:
        answer = {"message": error.message, "hint": error.hint}
    print(MARK + json.dumps(answer), flush=True)
    return 0


def _answer() -> dict[str, Any]:
    settings = replace(load_settings({"url": ""}), url="")
    gateway, started = embedded.find_or_start(embedded.launch_of(settings))
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
    sys.exit(main())
