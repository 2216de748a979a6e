"""Which names environment variables, secrets and volumes may have. Both ends check by it."""

from __future__ import annotations

import re

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""An environment variable."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""A secret or a volume."""

OWN = frozenset({"CUDA_VISIBLE_DEVICES"})
"""Variables that say what a session holds: nobody else sets them."""


def variable_problem(name: str) -> str:
    """Tell in words what is wrong with a variable's name, "" where nothing is."""
    if not VARIABLE.fullmatch(name):
        return f"`{name}` is no name of an environment variable"
    return f"`{name}` is set by the runtime, to what the session holds" if name in OWN else ""


def name_problem(name: str) -> str:
    """Tell in words what is wrong with a secret's or a volume's name, "" where nothing is."""
    if NAME.fullmatch(name):
        return ""
    return f"`{name}` is no name: up to 63 letters, digits, `.`, `_` and `-`, the first a letter or digit"
