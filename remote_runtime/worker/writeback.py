"""Inputs that a run changed, on their way back: as what changed in them where the kernel holds them, else whole.

    Changes -> pack (with what the run bound) -> bundle; what cannot travel is newer here, and the end says why
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remote_runtime.wire import data, limits, payload
from remote_runtime.worker.mirrors import Changes

EXCEPTION = "!exception"
"""Name in the bundle under which the cell's exception travels."""

RESULT = "_"
"""Name under which the last expression's value travels."""

NO_DATA = "it is no data, and this notebook takes data alone"

NOT_ASKED = "its run was told to bring nothing back"


class Writeback:
    """The changed inputs of one run.

    Args:
        changes: What was found.
        namespace: The session's.
    """

    def __init__(self, changes: Changes, namespace: dict[str, Any]) -> None:
        self._changes, self._delta, self._namespace = changes, changes.delta, namespace
        self._whole: dict[str, object] = {}
        self.ahead: dict[str, str] = {}
        if self._delta is None:
            self.ahead = dict.fromkeys((*changes.updated, *changes.whole), NOT_ASKED)
        else:
            self._whole = {name: namespace[name] for name in changes.whole}

    @property
    def tells(self) -> bool:
        """Whether there is anything to tell."""
        return self._delta is not None and bool(self._delta.contents() or self._whole)

    @property
    def names(self) -> frozenset[str]:
        """Names that are told because they changed."""
        return frozenset((*self._delta.changed, *self._whole)) if self._delta is not None else frozenset()

    @property
    def updated(self) -> list[str]:
        """Names that the bundle tells, in order."""
        return sorted(self.names)

    def expect(self, values: Mapping[str, object]) -> None:
        """Look at values that are to travel, so that what both ends hold is met in them."""
        if self._delta is None:
            return
        for name, value in values.items():
            if name not in (EXCEPTION, RESULT):
                self._delta.weigh(name, value, rebound=True)
        for name, value in self._whole.items():
            self._delta.weigh(name, value)

    def keep_to_data(self) -> None:
        """Let changes stay that are told by more than data."""
        if self._delta is None:
            return
        for name in self.updated:
            if data.why_not(self._namespace.get(name)):
                self._stay(name, NO_DATA)
        self._delta.keep_only(lambda content: not data.why_not(content))

    def trial(self, name: str, value: object, limit_bytes: int | None) -> int:
        """Return how much one name adds.

        Raises:
            PackError: It cannot travel.
            TooLarge: It passes the limit.
        """
        shared = self._delta.bare() if self._delta is not None else None
        packed = payload.pack({name: value}, namespace=self._namespace, limit_bytes=limit_bytes, shared=shared)
        return packed.bundle.size_bytes

    def pack(self, values: Mapping[str, object], limit_bytes: int | None) -> payload.Packed:
        """Pickle values and changes; a change that cannot travel stays.

        Raises:
            PackError: One of `values` cannot travel.
            TooLarge: The limit was passed.
        """
        while True:
            travels = {**values, **self._whole}
            try:
                packed = payload.pack(travels, namespace=self._namespace, limit_bytes=limit_bytes, shared=self._delta)
            except payload.PackError as error:
                if error.name in values or error.name not in self.names:
                    raise
                self._stay(error.name, reason(error))
                continue
            over = self._largest(packed.sizes)
            if over is None:
                return packed
            self._stay(over, f"it is larger than {limits.UPDATE_BYTES // limits.MIB} MiB")

    def settle(self, packed: payload.Packed | None) -> None:
        """Note that the kernel will hold what the bundle tells."""
        if self._delta is not None and packed is not None:
            self._delta.settle(packed.names, packed.needs)
        elif self._delta is not None:
            self._delta.abandon()

    def _largest(self, sizes: Mapping[str, int]) -> str | None:
        mine = {name: sizes.get(name, 0) for name in self.names}
        if sum(mine.values()) <= limits.UPDATE_BYTES:
            return None
        return max(mine, key=lambda name: mine[name])

    def _stay(self, name: str, why: str) -> None:
        self.ahead[name] = why
        self._whole.pop(name, None)
        if self._delta is not None:
            self._delta.give_up(name)


def reason(error: BaseException) -> str:
    """Say why a value could not be pickled, in one sentence."""
    if isinstance(error, payload.PackError):
        return error.message
    return f"pickling it raised {type(error).__name__}"
