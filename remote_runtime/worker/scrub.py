"""Which environment variables user code must not inherit, as a table.

environment --> the same without secrets and without what is the runtime's own
"""

from __future__ import annotations

import re
from collections.abc import Mapping

WORDS = ("KEY", "APIKEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "CREDENTIALS")
"""A variable with one of these as a whole word of its name holds a secret."""

PREFIXES = ("WARMCELL_",)
"""The runtime's own variables."""

OWN = ("GRPC_VERBOSITY",)
"""Set by the worker for itself; user code gets grpc's own default."""


def is_secret(name: str) -> bool:
    """Tell whether a variable is kept from user code; `API_KEY` is, `MONKEY` and `KEYBOARD` are not."""
    return name.startswith(PREFIXES) or bool(set(re.split(r"[^A-Z0-9]+", name.upper())) & set(WORDS))


def names(environment: Mapping[str, str]) -> list[str]:
    """Return the names of the secrets in an environment."""
    return [name for name in environment if is_secret(name)]


def scrubbed(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without its secrets."""
    return {name: value for name, value in environment.items() if not is_secret(name)}
