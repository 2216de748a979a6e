"""What a bundle asks of those who know what both ends hold; `delta.Delta` is one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from remote_runtime.wire.leaves import Contents
from remote_runtime.wire.views import Place


class Shared(Protocol):
    """What both ends hold."""

    def views(self) -> dict[int, Place]:
        """Return which arrays travel as views of others, by identity; to be asked before `known`."""

    def known(self) -> list[tuple[int, object]]:
        """Return numbers and objects that the bundle may refer to."""

    def contents(self) -> list[tuple[str, int, Any]]:
        """Return what changed in such objects: the name in which it was found, the number, the contents."""

    def contents_known(self) -> Contents:
        """Return digests of large arrays that were made already."""

    def tail(self, memo: Mapping[int, tuple[int, object]], needs: Mapping[str, tuple[str, ...]]) -> Any:
        """Return what the receiver must know, given what was written: identity -> (place, object), and `needs`."""
