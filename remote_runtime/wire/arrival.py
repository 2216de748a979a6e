"""A bundle's way into the records of the end where it arrives.

    numbers -> twins, contents -> given to them, new values -> records and twins of their own; binding is the caller's
"""

from __future__ import annotations

from collections.abc import Mapping

from remote_runtime.wire import patches
from remote_runtime.wire.delta import Tail
from remote_runtime.wire.digests import ATOMS, look
from remote_runtime.wire.mirror import Mirror
from remote_runtime.wire.patches import Content, Unfit


class Arrival:
    """A bundle's way into a mirror.

    Args:
        mirror: This end's records.
    """

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._contents: list[tuple[str, int, Content]] = []
        self.unfit: dict[str, str] = {}

    def object(self, number: int) -> object | None:
        """Return the twin of a number; None when it is gone."""
        return self._mirror.twins.object(number)

    def content(self, name: str, number: int, content: Content) -> None:
        """Take the new contents of a twin; they are given to it by `land`."""
        self._contents.append((name, number, content))

    def land(self, values: Mapping[str, object], memo: Mapping[int, object], tail: Tail) -> None:
        """Give the contents to the twins, and note what both ends now hold.

        Args:
            values: The pairs; they are not bound here.
            memo: What the unpickler met, by its place.
            tail: The end of the bundle.
        """
        places, numbers, leaves, changed = tail
        self._give()
        twins = self._mirror.twins
        for place, number in zip(places, numbers, strict=True):
            twins.bind(number, memo[place])
        known = {id(obj): leaf for number, leaf in leaves.items() if (obj := twins.object(number)) is not None}
        for name, value in values.items():
            if name.isidentifier() and name != "_":
                self._keep(name, value, known)
        for name in changed:
            record = self._mirror.records.get(name)
            value = record.value() if record is not None else None
            if value is not None:
                self._keep(name, value, known)

    def _give(self) -> None:
        """Instances first: sets and dicts may hash them."""
        late = ("set", "dict", "list")
        for name, number, content in sorted(self._contents, key=lambda told: told[2][0] in late):
            try:
                patches.give(self._mirror.twins.object(number), content)
            except Unfit as error:
                self.unfit[name] = str(error)

    def _keep(self, name: str, value: object, known: Mapping[int, bytes]) -> None:
        seen = None if type(value) in ATOMS else look(value, self._mirror.reference, known)
        self._mirror.keep(name, value, seen)
