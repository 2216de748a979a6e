"""What a session's kernels hold of its names: a mirror for each kernel, and a version for each name.

    Run.sync -> Mirrors.join: may what was sent replace what is here? -> Party
    Party: land (the bundle's way in) -> the cell runs -> compare (what changed) -> told to the kernel, or newer here

A version only says "another than before". A kernel that sends a name says which version it means to replace; where
that is not the one here, both have changed since they were equal, and the run is refused before anything is bound.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import payload
from remote_runtime.wire.arrival import Arrival, Guard
from remote_runtime.wire.atoms import ATOMS
from remote_runtime.wire.bundle import Bundle
from remote_runtime.wire.delta import Delta
from remote_runtime.wire.digests import is_canonical, look
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.mirror import Mirror
from remote_runtime.wire.twins import is_held_anyway
from remote_runtime.worker.namespace import Names

KEPT_BYTES = 1 << 20
"""A value with larger arrays in it is not kept while a cell runs, so that a cell can free it."""

MIRRORS = 8
"""Kernels whose mirrors are kept; the one that was quiet longest must send its names again."""


@dataclass(frozen=True)
class Stamp:
    """Who gave a name its present value.

    Args:
        version: Another one each time.
        mirror: The kernel's mirror.
        notebook: The kernel's notebook.
    """

    version: int
    mirror: str
    notebook: str


class Mirrors:
    """A session's mirrors and versions.

    Args:
        names: The session's namespace.
    """

    def __init__(self, names: Names) -> None:
        self.names = names
        self.stamps: dict[str, Stamp] = {}
        self._mirrors: OrderedDict[str, Mirror] = OrderedDict()
        self._versions = itertools.count(2, 2)  # a kernel gives odd ones

    def join(self, sync: pb.Sync) -> Party:
        """Let a kernel take part with what it sent.

        Raises:
            Failed: code "mirror" when both ends do not hold the same any more, "diverged" when a name changed at
                both ends.
        """
        mirror = self._mirrors.get(sync.mirror)
        if mirror is None and sync.turn == 0:
            mirror = self._mirrors[sync.mirror] = Mirror(1)
            while len(self._mirrors) > MIRRORS:
                self._mirrors.popitem(last=False)
        if mirror is None or mirror.turn != sync.turn:
            raise Failed("mirror", "kernel and session do not hold the same names any more", "run the cell again")
        self._mirrors.move_to_end(sync.mirror)
        party = Party(self, mirror, sync)
        party.check()
        return party

    def stamp(self, name: str, sync: pb.Sync | None) -> int:
        """Give a name another version and return it."""
        mirror, notebook = (sync.mirror, sync.notebook) if sync is not None else ("", "")
        self.stamps[name] = Stamp(next(self._versions), mirror, notebook)
        return self.stamps[name].version

    def version(self, name: str) -> int:
        """Return a name's version; 0 for one that no kernel shares."""
        stamp = self.stamps.get(name)
        return stamp.version if stamp is not None else 0

    def forget(self, names: Iterable[str]) -> None:
        """Forget names that are gone."""
        for name in names:
            self.stamps.pop(name, None)
            for mirror in self._mirrors.values():
                mirror.forget(name)


@dataclass
class Changes:
    """What a run did to names that its kernel holds too.

    Args:
        delta: What the bundle must carry; None when nothing goes back that way.
        updated: Names that changed in place.
        whole: Names that must be told whole, because the kernel does not hold what they were.
        slow: Names that took long to compare, in seconds.
    """

    delta: Delta | None = None
    updated: list[str] = field(default_factory=list)
    whole: list[str] = field(default_factory=list)
    slow: dict[str, float] = field(default_factory=dict)

    def abandon(self) -> None:
        """Tell nothing of it; a later run finds the same changes."""
        if self.delta is not None:
            self.delta.abandon()
        self.delta, self.updated, self.whole = None, [], []


class Party:
    """One kernel's part in one run.

    Args:
        mirrors: The session's.
        mirror: The kernel's.
        sync: What it sent.
    """

    def __init__(self, mirrors: Mirrors, mirror: Mirror, sync: pb.Sync) -> None:
        self._mirrors, self.mirror, self.sync = mirrors, mirror, sync
        self._known = dict(zip(sync.names, sync.versions, strict=True))
        self._behind: set[str] = set()
        self._aliased = frozenset(sync.aliased)
        self._kept: list[object] = []

    def check(self) -> None:
        """Refuse names that changed at both ends.

        Raises:
            Failed: code "diverged".
        """
        forced = set(self.sync.forced)
        diverged = [name for name in self.sync.sent if name not in forced and self._diverged(name)]
        if diverged:
            raise _diverged(diverged, self._mirrors.stamps[diverged[0]], self.sync)

    def arrival(self, guard: Guard | None = None) -> Arrival:
        """Return the way in for the bundle; within `guard` objects take their new contents."""
        return Arrival(self.mirror, guard=guard)

    def landed(self) -> None:
        """Note that the bundle has arrived and its names are bound; names deleted there go here, too."""
        namespace, sync = self._mirrors.names.namespace, self.sync
        self.mirror.turn += 1
        for name, version in zip(sync.gone, sync.gone_versions, strict=True):
            if self._mirrors.version(name) == version and name in namespace:
                del namespace[name]
                self._mirrors.forget([name])
        for name in sync.sent:
            self._mirrors.stamps[name] = Stamp(sync.stamp, sync.mirror, sync.notebook)
        sent = set(sync.sent)
        for name in self._known:
            if name not in sent and name in namespace:
                self._begin(name, namespace[name])
            self._keep(name)

    def stands(self, name: str) -> bool:
        """Tell whether a name surely stands for the object that it stood for before the run, and stands for here."""
        record = self.mirror.records.get(name) if name in self._known else None
        former = record.value() if record is not None and record.numbers else None
        return former is not None and self._mirrors.names.namespace.get(name) is former

    def compare(self, bound: Iterable[str]) -> Changes:
        """Look at what the run may have changed.

        Args:
            bound: Names that stand for another object now; they are told anyway.
        """
        namespace, skipped = self._mirrors.names.namespace, set(bound)
        changes = Changes(Delta(self.mirror, namespace.__getitem__))
        for name in self._known:
            if name in skipped or name not in namespace:
                self._look_back(changes.delta, name)
                continue
            if name in self._behind:
                changes.whole.append(name)
                continue
            how = changes.delta.weigh(name, namespace[name])
            if how == "changed":
                changes.updated.append(name)
            elif how == "new":
                changes.whole.append(name)
        changes.slow = changes.delta.slow
        return changes

    def hand_over(self, name: str, value: object) -> tuple[pb.FromWorker, Bundle]:
        """Write a value for a kernel that takes it in place of its own.

        Raises:
            PackError: It cannot travel.
        """
        namespace = self._mirrors.names.namespace
        delta = Delta(self.mirror, namespace.__getitem__)
        delta.weigh(name, value, force=True)
        packed = payload.pack({name: value}, namespace=namespace, shared=delta)
        delta.settle(packed.names)
        if name in namespace and not self._mirrors.version(name):
            self._mirrors.stamp(name, self.sync)
        values = pb.Values(turn=self.told(), version=self._mirrors.version(name))
        return pb.FromWorker(values=values), packed.bundle

    def told(self) -> int:
        """Note that the end tells the kernel all; return the turn after it."""
        self.mirror.turn += 1
        return self.mirror.turn

    def _keep(self, name: str) -> None:
        """Keep a value through the run: a cell may change it and then bind its name anew.

        A large one only where the change would be seen, by what else holds it at the kernel: a cell may free it.
        """
        record = self.mirror.records.get(name)
        value = record.value() if record is not None else None
        if record is None or value is None or is_held_anyway(value):
            return
        if name in self._aliased:
            self._kept.append(value)
            return
        held = [self.mirror.twins.object(number) for number in record.numbers]
        if sum(int(getattr(obj, "nbytes", 0)) for obj in held if obj is not None and is_canonical(obj)) <= KEPT_BYTES:
            self._kept.append(value)

    def _look_back(self, delta: Delta, name: str) -> None:
        """Look at the value that a name stood for: the run may have changed it before it bound the name anew."""
        record = self.mirror.records.get(name)
        former = record.value() if record is not None and record.digest else None
        if former is not None:
            delta.former(name, former)

    def _begin(self, name: str, value: Any) -> None:
        """Remember what a name was before the run, unless the kernel holds something older."""
        record = self.mirror.records.get(name)
        if record is not None and record.digest is not None and record.value() is value:
            return  # told already; what another run did to it shows in the comparison
        if self._mirrors.version(name) == self._known[name]:
            self.mirror.keep(name, value, None if type(value) in ATOMS else look(value))
        elif record is None or record.digest != b"":
            self._behind.add(name)

    def _diverged(self, name: str) -> bool:
        stamp = self._mirrors.stamps.get(name)
        if stamp is None or stamp.version == self._known.get(name, 0):
            return False
        is_earlier_kernels = stamp.notebook == self.sync.notebook and stamp.mirror != self.sync.mirror
        return not (is_earlier_kernels and not self._known.get(name))


def _diverged(names: list[str], stamp: Stamp, sync: pb.Sync) -> Failed:
    several = ", ".join(f"`{name}`" for name in names)
    by = "a run whose changes did not come back" if stamp.notebook == sync.notebook else f"notebook {stamp.notebook}"
    was = "was" if len(names) == 1 else "were"
    return Failed(
        "diverged",
        f"{several} {was} changed here and in the session, there by {by}",
        f"`-i {','.join(names)}` keeps what is here, `%gpu get {' '.join(names)}` takes what is there",
        {"names": " ".join(names)},
    )
