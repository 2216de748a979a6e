"""A bundle's way into the records of the end where it arrives.

    numbers -> twins, contents -> given to them, new values -> records and twins of their own; binding is the caller's
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from remote_runtime.wire import patches
from remote_runtime.wire.atoms import ATOMS
from remote_runtime.wire.delta import Tail
from remote_runtime.wire.digests import look
from remote_runtime.wire.mirror import Mirror
from remote_runtime.wire.patches import Content, Unfit

Guard = AbstractContextManager[Any]


class Arrival:
    """A bundle's way into a mirror.

    Args:
        mirror: This end's records.
        updates: Names that the bundle changes in place: one that has changed here meanwhile stays as it is.
        guard: Keeps interrupts out while objects take their new contents, so that none is left half of both.

    Attributes:
        contested: Such names.
        unfit: Names that could not be changed in place here, each with the reason.
    """

    def __init__(self, mirror: Mirror, updates: Iterable[str] = (), guard: Guard | None = None) -> None:
        self._mirror, self._guard = mirror, guard if guard is not None else nullcontext()
        # Now, because reading the bundle may change classes of the notebook already.
        self.contested = [name for name in updates if mirror.has_changed(name)]
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
        with self._guard:
            self._land(values, memo, tail)

    def _land(self, values: Mapping[str, object], memo: Mapping[int, object], tail: Tail) -> None:
        places, numbers, leaves, changed, needs, views = tail
        self._give()
        twins = self._mirror.twins
        for place, number in zip(places, numbers, strict=True):
            twins.bind(number, memo[place])
        twins.views.update(views)
        known = {id(obj): leaf for number, leaf in leaves.items() if (obj := twins.object(number)) is not None}
        for name, value in values.items():
            if name.isidentifier() and name != "_" and name not in self.contested:
                self._keep(name, value, known, needs.get(name, ()))
        for name in set(changed).difference(self.contested, self.unfit):
            record = self._mirror.records.get(name)
            value = record.value() if record is not None else None
            if value is not None:
                self._keep(name, value, known, needs.get(name))
        self._mirror.doubt((number for _, number, _ in self._contents), {*values, *changed})
        self._mirror.tidy()

    def _give(self) -> None:
        """Instances first: sets and dicts may hash them."""
        late = ("set", "dict", "list")
        for name, number, content in sorted(self._contents, key=lambda told: told[2][0] in late):
            twin = self._mirror.twins.object(number)
            if name in self.contested or twin is None:  # nothing here holds it any more
                continue
            try:
                patches.give(twin, content)
            except Unfit as error:
                self.unfit[name] = str(error)

    def _keep(
        self, name: str, value: object, known: Mapping[int, bytes], needs: Iterable[str] | None
    ) -> None:
        seen = None if type(value) in ATOMS else look(value, self._mirror.reference, known)
        self._mirror.keep(name, value, seen, needs)
