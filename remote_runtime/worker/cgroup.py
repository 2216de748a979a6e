"""The memory limit that the system holds this container to, and whether it has killed for it.

    /sys/fs/cgroup -> limit, kills so far --a process dies by SIGKILL--> one more kill? then memory was why

Outside a container these files are absent, or the whole machine's and without a limit: then nothing is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")

_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")
_KILLS = ("memory.events", "memory/memory.oom_control")
_UNLIMITED_BYTES = 1 << 60


class Watch:
    """Tells kills that come after it was made.

    Args:
        root: Where the system shows them.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._before = self._kills()

    def limit_bytes(self) -> int:
        """Return the limit, 0 for none."""
        text = _first(self._root, _LIMITS).strip()
        return int(text) if text.isdigit() and int(text) < _UNLIMITED_BYTES else 0

    def has_killed(self) -> bool:
        """Tell whether the system has killed a process for this limit since."""
        now = self._kills()
        return bool(self.limit_bytes()) and now is not None and now > (self._before or 0)

    def _kills(self) -> int | None:
        for line in _first(self._root, _KILLS).splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill" and value.strip().isdigit():
                return int(value)
        return None


def _first(root: Path, names: Sequence[str]) -> str:
    """Return what the first file that is there holds, "" where none is."""
    for name in names:
        with suppress(OSError):
            return (root / name).read_text()
    return ""
