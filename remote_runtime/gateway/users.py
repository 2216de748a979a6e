"""Users: whose call it is, by the token that it shows.

    "Bearer TOKEN" -> name, or nobody
"""

from __future__ import annotations

import hmac
import os
import pwd
from collections.abc import Mapping


class Users:
    """Who may call.

    Args:
        tokens: Token -> the name of its user; several tokens may have one name.
    """

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._names = {f"Bearer {token}".encode(): name for token, name in tokens.items()}

    def name_of(self, shown: bytes) -> str | None:
        """Return whose token is shown, None for nobody's; the time it takes tells nothing of the tokens.

        Args:
            shown: The value of the `authorization` header.
        """
        found = None
        for expected, name in self._names.items():
            if hmac.compare_digest(shown, expected):
                found = name
        return found


def os_user() -> str:
    """Return the name of the user as whom the gateway runs: the embedded runtime's only one."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run as a number without a name
        return f"uid {os.getuid()}"
