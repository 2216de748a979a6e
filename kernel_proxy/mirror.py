"""What this kernel holds of a session's names, so that a cell sends what changed and finds the rest where it was.

    gather -> Delta -> sync (with the run) -> sent -> ... the run's end -> arrival -> landed
                                              any doubt -> part: nothing is taken to be one object at both ends

A record says what a name was, and which version of it the session had, when both were last equal.
"""

from __future__ import annotations

import secrets
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.arrival import Arrival
from remote_runtime.wire.atoms import ATOMS
from remote_runtime.wire.delta import Delta
from remote_runtime.wire.digests import Reference, look
from remote_runtime.wire.mirror import Mirror
from remote_runtime.wire.payload import Packed
from remote_runtime.wire.ramp import Ramp

ALIASES = 1000
"""Objects of one value that are asked who holds them."""


class SessionMirror:
    """The records of one session's memory.

    Args:
        notebook: Whose names these are.
        namespace: The notebook's.
        reference: Gives a token for a handle.
    """

    def __init__(self, notebook: str, namespace: dict[str, Any], reference: Reference) -> None:
        self._notebook, self._namespace = notebook, namespace
        self._mirror = Mirror(0, reference)
        self._id = uuid.uuid4().hex[:12]
        self._replaced: dict[int, dict[str, int]] = {}
        self._gone: list[str] = []
        self._held: Delta | None = None
        self._take: Callable[[memoryview], bytes] | None = None

    @property
    def names(self) -> list[str]:
        """Names that both ends hold."""
        return list(self._mirror.records)

    def delta(self) -> Delta:
        """Begin what a bundle must carry."""
        return Delta(self._mirror, self._namespace.__getitem__, self._take)

    @contextmanager
    def loading(self, ramp: Ramp | None) -> Iterator[None]:
        """Copy ahead what a delta finds to be another value, until it is sent.

        Args:
            ramp: Takes it; None where nothing travels in shared memory.
        """
        try:
            self._take = ramp.take if ramp is not None else None
            yield
        finally:
            self._take = None
            if ramp is not None:
                ramp.clear()

    def needs(self, name: str) -> tuple[str, ...]:
        """Return the names that code in a name's value mentions."""
        record = self._mirror.records.get(name)
        return record.needs if record is not None else ()

    def knows(self, name: str) -> bool:
        """Tell whether a name is held at both ends."""
        return name in self._mirror.records

    def newer(self, name: str, version: int) -> str:
        """Tell where a name is newer.

        Args:
            name: A name of the session.
            version: The session's, for it.

        Returns:
            `here`, `there`, `both`, or `same`; `there` too for a name that this kernel does not hold.
        """
        record = self._mirror.records.get(name)
        if record is None or name not in self._namespace or self._mirror.reference(self._namespace[name]) is not None:
            return "there"
        here = not self._mirror.is_same(name, self._namespace[name])[0]
        return {(False, False): "same", (True, False): "here", (False, True): "there"}.get(
            (here, version != record.version), "both"
        )

    def aliased(self, names: Iterable[str]) -> list[str]:
        """Return those of some names whose value, or a part of it, something else here holds, too.

        To be asked before anything of ours looks at the values, as it counts references.
        """
        return [name for name in names if name in self._namespace and self._is_aliased(name)]

    def _is_aliased(self, name: str) -> bool:
        record = self._mirror.records.get(name)
        numbers = record.numbers if record is not None and len(record.numbers) <= ALIASES else ()
        # The namespace, and the argument of the question itself.
        return sys.getrefcount(self._namespace[name]) > 2 or any(map(self._mirror.twins.is_aliased, numbers))

    def sync(self, delta: Delta | None = None, forced: Iterable[str] = ()) -> pb.Sync:
        """Write what the session must know of a run's names.

        Args:
            delta: What its bundle carries.
            forced: Names that replace whatever is there.
        """
        sync = pb.Sync(mirror=self._id, turn=self._mirror.turn, notebook=self._notebook)
        if delta is None:
            return sync
        records = self._mirror.records
        sync.stamp = secrets.randbits(62) | 1  # the session gives even versions
        sync.names.extend(delta.names)
        sync.versions.extend([records[name].version if name in records else 0 for name in delta.names])
        sync.sent.extend((*delta.changed, *delta.new))
        sync.forced.extend(name for name in forced if name in delta.new)
        gone = [name for name in records if name not in self._namespace]
        sync.gone.extend(gone)
        sync.gone_versions.extend(records[name].version for name in gone)
        return sync

    def sent(self, sync: pb.Sync, delta: Delta, packed: Packed) -> None:
        """Note that a run was sent with its bundle."""
        delta.settle(packed.names, packed.needs)
        self._held = delta  # what the run's end may refer to lives at least until then
        self._mirror.turn += 1
        self._gone = list(sync.gone)
        before = dict(zip(sync.names, sync.versions, strict=True))
        self._replaced[sync.stamp] = {name: before[name] for name in sync.sent}
        for name in sync.sent:
            self._mirror.version(name, sync.stamp)

    def arrival(self, turn: int, updates: Iterable[str] = ()) -> Arrival | None:
        """Return the way in for the bundle of an end; None for one that brings copies.

        Args:
            turn: The end's.
            updates: Names that it changes in place.
        """
        return Arrival(self._mirror, updates) if turn else None

    def landed(self, turn: int, versions: Mapping[str, int], skipped: Iterable[str] = ()) -> None:
        """Note what a run's end brought.

        Args:
            turn: The end's; 0 for one that brought copies.
            versions: Of the names that the run changed.
            skipped: Names that were not taken over here.
        """
        self.forget(name for name in self._gone if name not in versions)
        self._gone, self._held = [], None
        if turn:
            self._mirror.turn = turn
        else:
            self._keep_copies(name for name in versions if name not in skipped)
        for name, version in versions.items():
            if name not in skipped:
                self._mirror.version(name, version)

    def copied(self, versions: Mapping[str, int]) -> None:
        """Note names to which copies were bound here.

        Args:
            versions: That the session gave to them.
        """
        self._keep_copies(versions)
        for name, version in versions.items():
            self._mirror.version(name, version)

    def hold(self, names: Iterable[str]) -> None:
        """Note names that stand for handles here."""
        for name in names:
            self._mirror.keep(name, self._namespace[name], None)

    def forget(self, names: Iterable[str]) -> None:
        """Forget names that are gone, or are no longer the session's."""
        for name in names:
            self._mirror.forget(name)

    def refused(self, stamp: int, names: Iterable[str]) -> None:
        """Note that a run did not take place: what was sent with it did not arrive.

        Args:
            stamp: The version that it gave to what it sent.
            names: Names that must be sent again.
        """
        self._mirror.unsure(names)
        for name, version in self._replaced.pop(stamp, {}).items():
            record = self._mirror.records.get(name)
            if record is not None and record.version == stamp:
                self._mirror.version(name, version)
            for later in self._replaced.values():
                if later.get(name) == stamp:
                    later[name] = version
        self.part()

    def part(self) -> None:
        """Take nothing to be one object at both ends any more; unchanged names still need not travel."""
        self._mirror.part()
        self._mirror.turn, self._held = 0, None
        self._id = uuid.uuid4().hex[:12]

    def sweep(self) -> None:
        """Let go of values that their names no longer stand for."""
        self._mirror.sweep(self._namespace)

    def _keep_copies(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self._namespace:
                value = self._namespace[name]
                seen = None if type(value) in ATOMS else look(value, self._mirror.reference)
                # What code in a copy mentions is not known, so one that holds code travels again.
                self._mirror.keep(name, value, seen if seen is not None and not seen.has_code else None)
        self._mirror.tidy()
