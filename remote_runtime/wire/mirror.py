"""What both ends hold in common, as one end knows it: records of names, and the twins in their values.

    name, value -> is_same: is it what it was when both ends were last equal?
    `delta.py` writes what is not, `arrival.py` reads it; both keep the records.

The same class at both ends: a kernel mirrors its session, a session each of its kernels.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from remote_runtime.wire.atoms import ATOMS, same_atom
from remote_runtime.wire.digests import Look, Reference, look
from remote_runtime.wire.leaves import sample
from remote_runtime.wire.twins import Held, Twins, held

DOUBT = b"?"
"""In the place of a digest: equal to none."""


def _gone() -> None:
    return None


@dataclass(frozen=True)
class Record:
    """A name whose value both ends hold.

    Args:
        value: Gives the value, while it lives.
        digest: Of the value when both ends were equal; None for an atom, and for what cannot be told any more.
        numbers: Of the objects in it, in order; 0 for one without a twin.
        version: Of the name there, when both ends were equal.
        needs: Names that code in it mentions.
        sample: Of a large array, see `leaves.sample`; empty for any other value.
    """

    value: Held
    digest: bytes | None = None
    numbers: tuple[int, ...] = ()
    version: int = 0
    needs: tuple[str, ...] = ()
    sample: bytes = b""


class Mirror:
    """One end's records.

    Args:
        side: 0 for the kernel, 1 for the worker.
        reference: Gives a token for an object that stands for something elsewhere.
    """

    def __init__(self, side: int, reference: Reference | None = None) -> None:
        self.side, self.twins = side, Twins(side)
        self.records: dict[str, Record] = {}
        self.turn = 0
        self._left: list[tuple[str, set[int]]] = []
        self.reference = reference

    def is_same(
        self,
        name: str,
        value: object,
        rebound: bool = False,
        taken: Container[int] = (),
        known: Mapping[int, bytes] | None = None,
    ) -> tuple[bool, Look | None]:
        """Tell whether a name's value is what it was; and what was seen of it, where it was walked.

        Args:
            name: The name.
            value: What it stands for now.
            rebound: Whether an equal value made anew counts as another one.
            taken: Numbers that stand for what they stood for, whatever is equal to it.
            known: Digests of leaves that need not be made again, by identity.
        """
        record = self.records.get(name)
        if type(value) in ATOMS:
            return record is not None and record.digest == b"" and same_atom(value, record.value()), None
        seen = look(value, self.reference, known)
        if record is None or seen is None or seen.digest != record.digest:
            return False, seen
        number = self.twins.number
        if record.value() is value:
            return tuple(number(obj) for obj in seen.objects) == record.numbers, seen
        return not rebound and self._adopt(name, value, seen, record, taken), seen

    def has_changed(self, name: str) -> bool:
        """Tell whether somebody changed a value here since both ends were equal.

        Where that could never be told, and where looking at the value is what changes it, nobody did.
        """
        record = self.records.get(name)
        value = record.value() if record is not None else None
        if record is None or record.digest is None or value is None:
            return False
        is_same, seen = self.is_same(name, value)
        if is_same or seen is None or not seen.is_told_by_itself:
            return not is_same
        again = look(value, self.reference)
        return again is not None and again.digest == seen.digest

    def is_another(self, name: str, value: object, rebound: bool = False) -> bool:
        """Tell whether a large array surely is not what `is_same` calls the same; else it may or may not be."""
        record = self.records.get(name)
        is_it = record is not None and record.value() is value
        if self.twins.number(value) and not is_it:  # known under another name
            return False
        return record is None or (rebound and not is_it) or record.sample != sample(value)

    def keep(self, name: str, value: object, seen: Look | None, needs: Iterable[str] | None = None) -> None:
        """Note that both ends are equal in a name; `tidy` when all are noted."""
        before = self.records.get(name)
        numbers = tuple(self.twins.number(obj) for obj in seen.objects) if seen is not None else ()
        if before is not None:
            self._left.append((name, set(before.numbers).difference(numbers)))
        self.twins.own(name, (number for number in numbers if number))
        known = tuple(needs) if needs is not None else (before.needs if before is not None else ())
        version = before.version if before is not None else 0
        digest = seen.digest if seen is not None else b"" if type(value) in ATOMS else None
        self.records[name] = Record(held(value), digest, numbers, version, known, sample(value))
        if seen is not None:
            for obj in seen.objects:
                number = self.twins.number(obj)
                if number and id(obj) in seen.leaves:
                    self.twins.leaves[number] = seen.leaves[id(obj)]

    def doubt(self, numbers: Iterable[int], but: Container[str]) -> None:
        """Let names count as changed that hold objects which changed under another name.

        Args:
            numbers: Of the objects.
            but: Names of which all is known.
        """
        owners = {owner for number in numbers for owner in self.twins.owners(number)}
        for name in owners:
            record = self.records.get(name)
            if name not in but and record is not None and record.digest:
                # What left the value is let go of at both ends; what came into it the other end does not know yet.
                seen = look(record.value(), self.reference)
                inside = {self.twins.number(obj) for obj in seen.objects} if seen is not None else set()
                self._left.append((name, set(record.numbers) - inside))
                numbers = tuple(number for number in record.numbers if number in inside)
                self.records[name] = replace(record, digest=DOUBT, numbers=numbers)

    def tidy(self) -> None:
        """Let go of objects that names no longer hold; not before all is noted, as an object may change hands."""
        for name, numbers in self._left:
            self.twins.disown(name, numbers)
        self._left = []

    def version(self, name: str, version: int) -> None:
        """Note the version there with which this end is equal."""
        record = self.records.get(name)
        if record is not None:
            self.records[name] = replace(record, version=version)

    def unsure(self, names: Iterable[str]) -> None:
        """Forget what names held, but not which version was known."""
        for name in names:
            record = self.records.get(name)
            if record is not None:
                self.twins.disown(name, record.numbers)
                self.records[name] = Record(_gone, None, (), record.version, record.needs)

    def forget(self, name: str) -> None:
        """Forget a name."""
        record = self.records.pop(name, None)
        if record is not None:
            self.twins.disown(name, record.numbers)

    def part(self) -> None:
        """Forget which objects are twins; names stay known by their digests."""
        self.twins.clear()
        for name, record in self.records.items():
            self.records[name] = replace(record, numbers=(0,) * len(record.numbers))

    def sweep(self, namespace: Mapping[str, Any]) -> None:
        """Let go of values that their names no longer stand for."""
        for name in list(self.records):
            if self._is_left(name, namespace):
                numbers = self.records[name].numbers
                self.records[name] = replace(self.records[name], value=_gone)
                self.twins.release(name, numbers)

    def _is_left(self, name: str, namespace: Mapping[str, Any]) -> bool:
        record = self.records[name]
        return bool(record.digest and record.numbers) and namespace.get(name, self) is not record.value()

    def _adopt(self, name: str, value: object, seen: Look, record: Record, taken: Container[int]) -> bool:
        """Take an equal value for the one before, so that running a cell again ships nothing; aliases must agree."""
        if len(seen.objects) != len(record.numbers) or len(set(map(id, seen.objects))) != len(set(record.numbers)):
            return False
        for obj, number in zip(seen.objects, record.numbers, strict=True):
            mine = self.twins.number(obj)
            is_free = not mine and number and number not in taken and self.twins.owners(number) == {name}
            is_free = is_free and not self.twins.shares_memory(number)
            if mine != number and not is_free:
                return False
        for obj, number in zip(seen.objects, record.numbers, strict=True):
            if self.twins.number(obj) != number:
                self.twins.bind(number, obj)
        self.records[name] = replace(record, value=held(value))
        return True
