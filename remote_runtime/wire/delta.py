"""What one bundle must carry, so that both ends are equal in some names.

    names, values -> weigh: same | changed | new -> patches for what changed in place, pairs for the rest -> `pack`

A name that is the *same* does not travel. An object that both ends hold is written as its number, so that what is
one object here is one object there. A value that *changed* in place is told as the new contents of its objects, which
are given to their twins: names, containers and closures that hold those stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from remote_runtime.wire import patches, views
from remote_runtime.wire.beside import users_threads
from remote_runtime.wire.digests import Look, is_canonical, look
from remote_runtime.wire.leaves import Contents, array_digest, bulk_of, shape_in
from remote_runtime.wire.mirror import Mirror
from remote_runtime.wire.patches import Content
from remote_runtime.wire.twins import ALONE
from remote_runtime.wire.views import Place

Tail = tuple[list[int], list[int], dict[int, bytes], list[str], dict[str, tuple[str, ...]], dict[int, int]]
"""Places in the memo of new twins; their numbers; digests of leaves by number; names that changed in place; names that
code in a value mentions; which arrays are views of which, by number."""


@dataclass
class Delta:
    """What one bundle must carry, so that both ends are equal in some names.

    Args:
        mirror: This end's records.
        find: Returns what a name stands for here; raises KeyError.
        take: Copies memory that will probably travel, see `ramp.Ramp.take`.

    Attributes:
        same: Names that need not travel.
        changed: Names whose values changed in place.
        new: Names whose values travel whole, apart from twins in them.
        slow: Names that took long to compare, in seconds.
        again: Names of `new` that were the same, and travel as views of what they are views of here.
    """

    mirror: Mirror
    find: Callable[[str], object]
    take: Callable[[memoryview], bytes] | None = None
    same: set[str] = field(default_factory=set)
    changed: dict[str, Look] = field(default_factory=dict)
    new: dict[str, Look | None] = field(default_factory=dict)
    slow: dict[str, float] = field(default_factory=dict)
    again: set[str] = field(default_factory=set)
    _values: dict[str, object] = field(default_factory=dict)
    _looks: dict[str, Look] = field(default_factory=dict)
    _known: dict[int, object] = field(default_factory=dict)
    _patches: dict[int, tuple[str, Content]] = field(default_factory=dict)
    _births: dict[int, object] = field(default_factory=dict)
    _views: dict[int, Place] = field(default_factory=dict)
    _views_of: tuple[int, int] = (0, 0)
    _are_alone: bool = False
    _named: list[int] = field(default_factory=list)

    SLOW_S = 0.2

    def weigh(self, name: str, value: object, force: bool = False, rebound: bool = False) -> str:
        """Decide how a name travels.

        Args:
            name: The name.
            value: What it stands for.
            force: Whether it travels whole, even when it is the same.
            rebound: Whether the name was bound anew: an equal value is another object then.

        Returns:
            `same`, `changed` or `new`.
        """
        if name in self._values:
            return "same" if name in self.same else "changed" if name in self.changed else "new"
        taken = self._taken(name, value, force, rebound)
        is_same, seen = self.mirror.is_same(name, value, rebound or force, self._known, taken)
        self._values[name] = value
        if seen is not None and seen.took_s > self.SLOW_S:
            self.slow[name] = seen.took_s
        if seen is not None:
            self._looks[name] = seen
        if is_same and not force:
            self.same.add(name)
            self._know(seen)
            return "same"
        if seen is None:
            self.new[name] = None
            return "new"
        if force:
            self._births.update((id(obj), obj) for obj in seen.objects)
        else:
            self._open(name, seen)
        record = self.mirror.records.get(name)
        in_place = record is not None and record.value() is value and not force and not rebound
        if in_place and seen.objects and seen.objects[0] is value and self._has_number(value):
            self.changed[name] = seen
            return "changed"
        self.new[name] = seen
        return "new"

    def former(self, name: str, value: object) -> None:
        """Look at what a name stood for before: other values may still hold it, and the name itself travels anew."""
        seen = look(value, self.mirror.reference)
        record = self.mirror.records.get(name)
        if seen is None or record is None:
            return
        numbers = tuple(self.mirror.twins.number(obj) for obj in seen.objects)
        if seen.digest == record.digest and numbers == record.numbers:
            self._know(seen)
        else:
            self._open(name, seen)

    @property
    def names(self) -> list[str]:
        """All names that were weighed."""
        return list(self._values)

    @property
    def extent(self) -> tuple[int, ...]:
        """How much the bundle refers to and tells; a bundle must be written after it has ceased to grow."""
        view_count = len(self.views())
        return len(self._known), len(self._patches), view_count, len(self.again)

    def give_up(self, name: str) -> None:
        """Leave a changed name as it is there; nothing that travels may refer to what changed in it."""
        seen = self.changed.pop(name, None) or self.new.pop(name, None)
        for obj in seen.objects if seen is not None else ():
            number = self.mirror.twins.number(obj)
            self._patches.pop(number, None)
            self._known.pop(number, None)

    def keep_only(self, test: Callable[[object], bool]) -> None:
        """Leave objects as they are there whose contents fail a test, and let every array travel as one of its own."""
        self._are_alone = True
        for number, (_, content) in list(self._patches.items()):
            if not test(content):
                del self._patches[number]
                self._known.pop(number, None)

    def bare(self) -> Delta:
        """Return the same without patches, for a trial."""
        found = Delta(self.mirror, self.find)
        found._known, found._are_alone = dict(self._known), self._are_alone
        return found

    # ---- for the pickler ----------------------------------------------------------------------------------

    def views(self) -> dict[int, Place]:
        """Return which arrays travel as views of others.

        An array that both ends hold, here as a view and there as one of its own, travels again: what shares memory in
        the notebook shares it there. A kernel's own arrays are never replaced for that.
        """
        if self._are_alone:
            return {}
        extent = len(self._known), len(self._births)
        if self._views_of != extent:
            self._views = self._found_views()
            self._views_of = len(self._known), len(self._births)
        return self._views

    def _found_views(self) -> dict[int, Place]:
        twins = self.mirror.twins
        arrays = views.of_numpy((*self._known.values(), *self._births.values()))
        found = views.places(arrays, lambda array: twins.views.get(twins.number(array)) != ALONE)
        for key, place in list(found.items()):
            number, carrier = twins.number_at(key), twins.number(place.carrier)
            if number not in self._known:
                continue
            is_there = carrier in self._known and twins.family(number) == twins.family(carrier)
            if is_there or self.mirror.side:
                del found[key]
            else:
                self._bear_again(number)
        return found

    def known(self) -> list[tuple[int, object]]:
        """Return the twins that the bundle may refer to by number."""
        return list(self._known.items())

    def contents(self) -> list[tuple[str, int, Content]]:
        """Return what changed in place: name, number, contents."""
        return [(name, number, content) for number, (name, content) in self._patches.items()]

    def contents_known(self) -> Contents:
        """Return digests of large arrays that were made when the values were looked at."""
        looks = [seen for seen in self.new.values() if seen is not None]
        return {place: found for seen in looks for place, found in seen.contents.items()}

    def tail(self, memo: Mapping[int, tuple[int, object]], needs: Mapping[str, tuple[str, ...]]) -> Tail:
        """Give numbers to the new twins that were written, and return what the other end must know of them."""
        self.abandon()
        born = [(memo[key][0], obj) for key, obj in self._births.items() if key in memo and not self._has_number(obj)]
        numbers = self._named = self.mirror.twins.name(obj for _, obj in born)
        told = {name: mentioned for name, mentioned in needs.items() if name in self._values}
        self.mirror.twins.views.update(shared := self._shared_memory([obj for _, obj in born]))
        return [place for place, _ in born], numbers, self._digests(), list(self.changed), told, shared

    def _shared_memory(self, born: list[object]) -> dict[int, int]:
        """Return, by number, which new arrays are views of which, and which lie otherwise at the other end."""
        number, found = self.mirror.twins.number, self.views()
        shared = {number(obj): number(found[id(obj)].carrier) for obj in born if id(obj) in found}
        strided = {number(obj): ALONE for obj in views.of_numpy(born) if not views.is_contiguous(obj)}
        return {**strided, **shared}

    def _digests(self) -> dict[int, bytes]:
        """Return digests that spare the other end a look of its own; none where a value may have changed since."""
        found = {}
        for seen in (*self.changed.values(), *self.new.values()):
            for obj in seen.objects if seen is not None else ():
                number = self.mirror.twins.number(obj)
                if number and id(obj) in seen.leaves and is_canonical(obj):
                    found[number] = seen.leaves[id(obj)]
        return {} if found and users_threads() else found

    def settle(self, travelled: Iterable[str], needs: Mapping[str, Iterable[str]] | None = None) -> None:
        """Note that both ends are equal once the bundle has arrived.

        Args:
            travelled: Names of `new` that were written; others stay as they were.
            needs: Names that code in a value mentions, by name.
        """
        told, self._named = needs or {}, []
        for name in (*self.changed, *travelled):
            if name in self._values and name not in self.same:
                seen = self.changed.get(name) or self.new.get(name)
                self.mirror.keep(name, self._values[name], seen, told.get(name))
                if seen is not None:
                    seen.contents.clear()  # its arrays may be of no use to anybody else
        self.mirror.doubt(self._patches, self._values)
        self.mirror.tidy()

    def abandon(self) -> None:
        """Take back the numbers that were given: the bundle will not be sent."""
        for number in self._named:
            self.mirror.twins.drop(number)
        self._named = []

    def _taken(self, name: str, value: object, force: bool, rebound: bool) -> dict[int, bytes]:
        """Copy a large array that surely travels, instead of comparing it before."""
        content = bulk_of(value) if self.take is not None else None
        if self.take is None or content is None or not (force or self.mirror.is_another(name, value, rebound)):
            return {}
        digest = self.take(content)
        return {id(value): array_digest(value, digest)} if digest else {}

    # ---- small parts --------------------------------------------------------------------------------------

    def _has_number(self, obj: object) -> bool:
        """Tell whether the bundle may refer to an object by number; one whose number is stale gets another."""
        return self.mirror.twins.number(obj) in self._known

    def _bear_again(self, number: int) -> None:
        """Let an array that both ends hold travel as a new one; its names, and what holds it, are told anew."""
        obj = self._known.pop(number)
        self._patches.pop(number, None)
        self._births[id(obj)] = obj
        for name in self.mirror.twins.owners(number).intersection(self._looks):
            seen = self._looks[name]
            if name in self.new:
                continue
            self.same.discard(name)
            self.changed.pop(name, None)
            if self._has_number(self._values[name]):
                self.changed[name] = seen
            else:
                self.new[name] = seen
                self.again.add(name)
            self._tell(name, seen)

    def _tell(self, name: str, seen: Look) -> None:
        """Tell the contents of all that both ends hold of a value."""
        for obj in seen.objects:
            number = self.mirror.twins.number(obj)
            content = patches.take(obj) if number in self._known and id(obj) not in seen.leaves else None
            if content is not None:
                self._patches.setdefault(number, (name, content))

    def _know(self, seen: Look | None) -> None:
        for obj in seen.objects if seen is not None else ():
            number = self.mirror.twins.number(obj)
            if number:
                self._known[number] = obj

    def _open(self, name: str, seen: Look) -> None:
        """Take in the objects of a value that is not the same: known ones are patched, unknown ones are born."""
        twins = self.mirror.twins
        for obj in seen.objects:
            number = twins.number(obj)
            if not number:
                self._births[id(obj)] = obj
            elif number not in self._known:
                self._revisit(name, number, obj, seen.leaves.get(id(obj)))
        for key in seen.inner:
            self._verify(key)

    def _revisit(self, name: str, number: int, obj: object, leaf: bytes | None) -> None:
        before = self.mirror.twins.leaves.get(number)
        if leaf is None or leaf != before:
            fits = leaf is None or (before is not None and shape_in(leaf) == shape_in(before))
            content = patches.take(obj) if fits else None
            if content is None:
                self._births[id(obj)] = obj
                return
            self._patches[number] = name, content
        self._known[number] = obj

    def _verify(self, key: int) -> None:
        """Look after the owners of a twin that is met inside of a leaf, where its contents are not walked."""
        number = self.mirror.twins.number_at(key)
        if not number or number in self._known:
            return
        for owner in list(self.mirror.twins.owners(number)):
            try:
                value = self.find(owner)
            except KeyError:
                continue
            if owner not in self._values:
                self.weigh(owner, value)
