"""The model cache: what one session has fetched, the next finds. One for each user, never one for two.

    user -> HF_HOME, TORCH_HOME, ... -> state/cache/USER

A cache that two users share would let one hand the other a model, and a model is often a pickle: it runs code when
it is loaded. So each has a folder of their own. The user as whom the runtime itself runs has caches already, in the
home directory: those are used, so that nothing is fetched twice on a laptop and a login to a model hub holds.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from remote_runtime.engines import records
from remote_runtime.gateway.directories import key_of

FOLDERS: Mapping[str, str] = {
    "HF_HOME": "huggingface",
    "TORCH_HOME": "torch",
    "KERAS_HOME": "keras",
    "TFHUB_CACHE_DIR": "tfhub",
    "SKLEARN_DATA": "scikit-learn",
}
"""Variable -> folder within the cache."""


def variables(state: Path, user: str, owner: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that lead to a user's model cache; its folder is made.

    Args:
        state: Directory of the runtime.
        user: Whose session.
        owner: As whom the runtime runs.
        environment: The runtime's own variables, which hold for the owner.
    """
    if user == owner:
        home = environment.get("XDG_CACHE_HOME") or os.path.join(environment.get("HOME") or Path.home(), ".cache")
        shared = {name: os.path.join(home, FOLDERS[name]) for name in ("HF_HOME", "TORCH_HOME")}
        return {name: environment.get(name, place) for name, place in shared.items()}
    folder = records.private_directory(records.private_directory(state / "cache") / key_of(user))
    return {name: str(folder / place) for name, place in FOLDERS.items()}
