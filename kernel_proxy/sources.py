"""Local modules travel as source: which of them a cell needs, as one tree of files.

    imports of the cell, captured values -> mentioned -> top-level names
    names -> places -> parts, and what they import -> Tree(roots, digest)

Nothing is read twice while its stat stays the same, and a kernel without local modules does nothing here.
"""

from __future__ import annotations

import functools
import os
import sys
import types
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from functools import cached_property

from kernel_proxy.errors import CaptureError
from kernel_proxy.handles import size_text
from kernel_proxy.sources_parts import Part, metadata_of, part_of
from kernel_proxy.sources_places import Place, Places
from kernel_proxy.sources_shelf import File, Shelf
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import sources

TREE_BYTES = 10_000_000
"""The most that the local modules of a session hold together."""

TREE_FILES = 5000

LONG_STREAM_BYTES = 1 << 20
"""In a longer pickle no names are looked for: all local modules that were imported count as mentioned."""

_SHORT_TEXT = 0x8C
"""Pickle's mark of a text shorter than 256 bytes, as names are; its length follows."""


@dataclass(frozen=True)
class Tree:
    """The files of some local modules. One with compiled parts is in it by name alone.

    Args:
        parts: The modules.
        data: Files that are no source and have room.
        left: Why files stay here, in sentences.
    """

    parts: Mapping[str, Part] = field(default_factory=dict)
    data: Mapping[tuple[str, str], File] = field(default_factory=dict)
    left: tuple[str, ...] = ()

    @cached_property
    def files(self) -> dict[tuple[str, str], File]:
        """Root folder and path under it -> file."""
        whole = (part for part in self.parts.values() if not part.compiled)  # others are as they are installed there
        return {**{key: file for part in whole for key, file in part.sources.items()}, **self.data}

    @cached_property
    def contents(self) -> dict[bytes, bytes]:
        """Digest -> content."""
        return {file.digest: file.content for file in self.files.values()}

    @cached_property
    def roots(self) -> list[pb.SourceRoot]:
        """The tree as the worker takes it, folders in the order in which this process looks into them."""
        found: dict[str, pb.SourceRoot] = {}
        for (root, under), file in sorted(self.files.items()):
            found.setdefault(root, pb.SourceRoot(path=root)).files.add(path=under, digest=file.digest)
        order = {path: at for at, path in reversed(list(enumerate(sys.path)))}
        return sorted(found.values(), key=lambda root: order.get(root.path, -1))

    @cached_property
    def digest(self) -> str:
        """What it is known by."""
        return sources.tree_of(self.roots)

    @cached_property
    def compiled(self) -> dict[str, str]:
        """Modules with compiled parts -> the first such part."""
        return {name: part.compiled[0] for name, part in self.parts.items() if part.compiled}

    def required(self, direct: Set[str]) -> frozenset[str]:
        """Return the modules with compiled parts that an import of some modules comes to, directly or not.

        Args:
            direct: Top-level modules.
        """
        reached, waiting = set(direct), list(direct) if self.compiled else []
        while waiting:
            part = self.parts.get(waiting.pop())
            more = part.imports - reached if part is not None else frozenset()
            reached |= more
            waiting += more
        return frozenset(name for name in self.compiled.keys() & reached if name in direct or self.user_of(name))

    def user_of(self, name: str) -> File | None:
        """Return a source that imports a module of another part, None where there is none."""
        others = (part for top, part in self.parts.items() if top != name and name in part.imports)
        files = (file for part in others for file in part.sources.values())
        return next((file for file in files if file.really_imports(name)), None)


class Sources:
    """The local modules of this process."""

    def __init__(self) -> None:
        self._places, self._shelf = Places(), Shelf()
        self._parts: dict[str, Part] = {}
        self._trees: dict[frozenset[str], Tree] = {}

    def mentioned(self, imports: Iterable[str], stream: bytes) -> frozenset[str]:
        """Return the local top-level modules that a cell's imports and a pickle of its values refer to.

        Args:
            imports: Dotted names.
            stream: The pickle: classes, functions and modules stand in it by the names of their modules, and
                the code of functions has the names that they import.
        """
        tops = {name.partition(".")[0] for name in imports}
        found = {top for top in tops if self._places.of(top) is not None}
        loaded = self._places.imported()
        if len(stream) > LONG_STREAM_BYTES:
            return frozenset(found | loaded)
        return frozenset(found.union(name for name in loaded | self._places.importable() if _is_in(name, stream)))

    def homes(self, values: Iterable[object]) -> frozenset[str]:
        """Return the local top-level modules that values are, or that define them or their classes."""
        return self._places.imported() & {_home(value).partition(".")[0] for value in values}

    def tree(self, names: frozenset[str]) -> Tree:
        """Return the files of modules, and of the local modules that they import.

        Args:
            names: Top-level modules; one that is no longer there is left out.

        Raises:
            CaptureError: They hold more than travels.
        """
        parts = {part.place.name: part for part in self._closure(names)}
        known = self._trees.get(names)
        if known is not None and list(known.parts.values()) == list(parts.values()):
            return known
        whole = [part for part in parts.values() if not part.compiled]
        sourced = [file for part in whole for file in part.sources.values()]
        room_bytes = TREE_BYTES - sum(len(file.content) for file in sourced)
        if room_bytes < 0 or len(sourced) > TREE_FILES:
            raise _too_much(whole)
        data, left = _fitting(whole, room_bytes, TREE_FILES - len(sourced))
        data.update(_metadata(whole))
        skipped = [sentence for part in whole for sentence in part.skipped]
        tree = self._trees[names] = Tree(parts, data, (*skipped, *left))
        return tree

    def _closure(self, names: frozenset[str]) -> Iterator[Part]:
        seen, waiting = set(names), sorted(names, reverse=True)
        while waiting:
            place = self._places.of(waiting.pop())
            if place is None:
                continue
            part = self._part(place)
            yield part
            more = part.imports - seen
            seen |= more
            waiting += sorted(more, reverse=True)

    def _part(self, place: Place) -> Part:
        part, known = part_of(place, self._shelf), self._parts.get(place.name)
        if known is not None and part.same_as(known):
            return known
        self._parts[place.name] = part
        return part


def _home(value: object) -> str:
    """Return the module that a value is, or that defines it or its class."""
    kind = type(value)
    if issubclass(kind, types.ModuleType):
        return str(getattr(value, "__name__", ""))
    by_name = issubclass(kind, (type, types.FunctionType, functools._lru_cache_wrapper))
    return str(getattr(value if by_name else kind, "__module__", ""))


def _is_in(name: str, stream: bytes) -> bool:
    """Tell whether a module, or one below it, is among the short texts of a pickle."""
    word = name.encode()
    at = stream.find(word)
    while at >= 0:
        after = at + len(word)
        is_text = at > 1 and stream[at - 2] == _SHORT_TEXT
        if is_text and (stream[at - 1] == len(word) or stream[after : after + 1] == b"."):
            return True
        at = stream.find(word, after)
    return False


def _fitting(
    parts: Iterable[Part], room_bytes: int, room_files: int
) -> tuple[dict[tuple[str, str], File], list[str]]:
    """Choose the data files that have room; say which have none."""
    taken: dict[tuple[str, str], File] = {}
    left: dict[str, int] = {}
    for part in parts:
        for key, file in part.data.items():
            if len(taken) < room_files and len(file.content) <= room_bytes:
                taken[key] = file
                room_bytes -= len(file.content)
            else:
                left[part.place.name] = left.get(part.place.name, 0) + 1
    why = f"stay here: at most {size_text(TREE_BYTES)} travel with modules"
    return taken, [f"{count} data files of `{name}` {why}" for name, count in left.items()]


def _metadata(parts: Iterable[Part]) -> Iterator[tuple[tuple[str, str], File]]:
    for part in parts:
        found = metadata_of(part.place.name, part.place.paths[0]) if part.place.kind != "namespace" else None
        if found is not None:
            yield (os.path.dirname(part.place.paths[0]), found[0]), found[1]


def _too_much(parts: Iterable[Part]) -> CaptureError:
    sizes = {part.place.name: sum(len(file.content) for file in part.sources.values()) for part in parts}
    name = max(sizes, key=lambda name: sizes[name])
    total = f"{size_text(sum(sizes.values()))} of source in {len(sizes)} local modules"
    most = f"{size_text(TREE_BYTES)} in {TREE_FILES} files"
    return CaptureError(
        f"{total} cannot travel, the most is {most}; `{name}` alone is {size_text(sizes[name])}",
        f"install `{name}` on the worker: in its image, or with `%pip install` in a `%%gpu` cell",
    )
