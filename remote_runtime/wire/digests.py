"""What a value is worth comparing by: one digest, and the objects in it that other names may share.

    value -> look -> Look(digest, objects, leaves), or None where it cannot be told

The value is walked by a pickler whose output is hashed and thrown away. Containers and plain instances are *open*:
their contents are part of the stream, and they themselves are listed, so that both ends can speak of the same object.
Arrays, tensors, classes and instances that pickle in their own way are *leaves* with a digest of their own. Functions
count by their compiled code without line numbers, their defaults, attributes and closure: neither a new cell number
nor a comment makes another function of them. Nothing here compares by `==` or hashes a value of the user's.
"""

from __future__ import annotations

import collections
import copyreg
import pickle
import sys
import time
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import xxhash

from remote_runtime.wire import leaves, reducers
from remote_runtime.wire.atoms import ATOMS
from remote_runtime.wire.insides import HEAP, attributes_of, base_of, contents_of, items_of, slots_in

Reference = Callable[[object], object | None]

OPEN_LIMIT = 20_000
"""A value with more open objects is listed by its outermost one alone: to follow each takes seven times as long."""

_SMALL_ITEMS, _SMALL_BYTES = 256, 64
_CONTAINERS = frozenset({list, dict, set, bytearray})
_VALUES = ("datetime", "decimal", "fractions", "uuid", "pathlib", "re", "zoneinfo", "_pydatetime", "enum", "ipaddress")
"""Modules whose instances are values: small, immutable, without identity worth keeping."""


class Look(NamedTuple):
    """A value as it was at one moment.

    Args:
        digest: Of all of it.
        objects: Open objects and leaves, in the order in which they were met; the value itself first, if it is one.
        leaves: Identity of a leaf -> its digest.
        inner: Identities of what leaves hold.
        took_s: Seconds that it took.
    """

    digest: bytes
    objects: tuple[object, ...] = ()
    leaves: Mapping[int, bytes] = {}  # noqa: RUF012  never written to
    inner: frozenset[int] = frozenset()
    took_s: float = 0.0

    @property
    def has_code(self) -> bool:
        """Whether there are functions or classes of the notebook in it."""
        return any(issubclass(type(obj), (types.FunctionType, type)) for obj in self.objects)

    @property
    def is_told_by_itself(self) -> bool:
        """Whether an object in it says in its own way what it consists of, and may say otherwise next time."""
        return any(id(obj) in self.leaves and way_of(type(obj)) is Walker.opaque for obj in self.objects)


def look(
    value: object, reference: Reference | None = None, known: Mapping[int, bytes] | None = None
) -> Look | None:
    """Walk a value.

    Args:
        value: Any value.
        reference: Gives a token for an object that stands for something elsewhere, else None.
        known: Digests of leaves that need not be made again, by identity.

    Returns:
        None where the value cannot be walked: it then counts as changed.
    """
    began = time.perf_counter()
    flat = _flat(value, began)
    if flat is not None:
        return flat
    walker = Walker(reference, dict(known or {}))
    try:
        walker.dump(value)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001  walking runs the user's `__reduce__`, which may raise anything
        return None
    digest, objects = walker.digest(), walker.objects(value)
    leaves = {id(obj): walker.leaves[id(obj)] for obj in objects if id(obj) in walker.leaves}
    return Look(digest, objects, leaves, frozenset(walker.inner), time.perf_counter() - began)


def _flat(value: Any, began: float) -> Look | None:
    """Look at a container of nothing but atoms, which is most of a notebook's, without a walk of our own."""
    kind = type(value)
    try:
        if kind is dict:
            parts = {*map(type, value), *map(type, value.values())}
        elif kind is list or kind is tuple or kind is set:
            parts = set(map(type, value))
        else:
            return None
    except RuntimeError:  # another thread changes it just now
        return None
    if not parts <= ATOMS:
        return None
    digest = _flat_digest(value)
    took_s = time.perf_counter() - began if len(value) > _SMALL_ITEMS else 0.0
    return Look(digest, () if kind is tuple else (value,), took_s=took_s)


def _flat_digest(value: Any) -> bytes:
    if len(value) > _SMALL_ITEMS:
        sink = _Sink()
        pickle.Pickler(sink, 5).dump(value)
        return sink.hash.digest()
    written = pickle.dumps(value, 5)
    return written if len(written) <= _SMALL_BYTES else xxhash.xxh3_128_digest(written)


class _Sink:
    """What a pickler writes to: a hash."""

    def __init__(self) -> None:
        self.hash = xxhash.xxh3_128()
        self.write = self.hash.update

    def buffer(self, buffer: pickle.PickleBuffer) -> None:
        """Take what would travel beside the stream."""
        view = buffer.raw()
        self.write(b"%d:" % view.nbytes)
        self.write(view)


class Walker(pickle.Pickler):
    """Hashes what pickle would write, with our own stand-ins for what pickles badly for comparing.

    Args:
        reference: As `look` takes it.
        known: Digests of leaves by identity; grows.
        inside: The leaf whose own way of pickling is walked: nothing within is open. None outside of leaves.
    """

    def __init__(self, reference: Reference | None, known: dict[int, bytes], inside: object | None = None) -> None:
        self._sink = _Sink()
        super().__init__(self._sink, protocol=5, buffer_callback=self._sink.buffer)  # of its own it would be a cycle
        self.leaves = known
        self.inner: set[int] = set()
        self._reference, self._inside = reference, inside
        self._attributes: set[int] = set()
        self._shapes: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._opened: dict[int, object] = {}
        self._met: list[object] = []
        # Called for every object, and no answer at all means that it is pickled; a copy of the memo takes far longer.
        self.persistent_id = self._met.append

    def digest(self) -> bytes:
        """Return the digest of all that was dumped."""
        return self._sink.hash.digest()

    def objects(self, root: object) -> tuple[object, ...]:
        """Return the open objects and leaves that were met, the outermost one first."""
        hidden, met = self._attributes, self._met
        found = {id(obj): obj for obj, kind in zip(met, map(type, met), strict=True) if kind in _CONTAINERS}
        for key in hidden.intersection(found):
            del found[key]
        found.update(self._opened)
        is_open = id(root) in found
        if len(found) > OPEN_LIMIT:
            return (root,) if is_open and id(root) not in self.leaves else ()
        if is_open:
            found = {id(root): root, **found}
        return tuple(found.values())

    def reducer_override(self, obj: Any) -> Any:
        """Stand in for what is no plain container, text or number."""
        if self._reference is not None:
            token = self._reference(obj)
            if token is not None:
                return stand_in, (str(token),)
        kind = type(obj)
        return (_HOW.get(kind) or way_of(kind))(self, obj)

    # ---- ways, chosen by the type -------------------------------------------------------------------------

    def plain(self, obj: Any) -> Any:
        """Open an instance: its class, attributes, slots and items are part of the stream."""
        if self._inside is not None:
            return NotImplemented
        attributes = attributes_of(obj)
        self._attributes.add(id(attributes))
        self._opened[id(obj)] = obj
        names = tuple(attributes)
        names = self._shapes.setdefault(names, names)  # written once for all instances that have the same
        state = (type(obj), names, tuple(attributes.values()), tuple(slots_in(obj).items()), items_of(obj))
        return stand_in, (), state

    def opaque(self, obj: Any) -> Any:
        """Make a leaf of an instance that pickles in its own way."""
        if self._inside is not None:
            return NotImplemented
        self._opened[id(obj)] = obj
        return stand_in, (self._leaf(obj, obj),)

    def value(self, obj: Any) -> Any:
        """Let pickle do as it does."""
        return NotImplemented

    def function(self, func: types.FunctionType) -> Any:
        """Open a function of the notebook."""
        if reducers.by_reference(func):
            return NotImplemented
        self._opened[id(func)] = func
        cells = tuple(contents_of(cell) for cell in func.__closure__ or ())
        attributes = tuple(func.__dict__.items())
        state = (func.__defaults__, func.__kwdefaults__, attributes, cells)
        return stand_in, (func.__qualname__, leaves.code_digest(func.__code__)), state

    def classes(self, cls: type) -> Any:
        """Make a leaf of a class of the notebook."""
        if reducers.by_reference(cls) or cls in _TYPES_BY_PICKLE:
            return NotImplemented
        self._opened[id(cls)] = cls
        if id(cls) not in self.leaves:
            self.leaves[id(cls)] = b""  # its methods' closures lead back to it
            body = {name: part for name, part in vars(cls).items() if name not in _NOT_THE_CLASS}
            parts = (cls.__qualname__, cls.__bases__, *((name, _undressed(part)) for name, part in body.items()))
            self.leaves[id(cls)] = self._leaf(parts, None)
        return stand_in, (cls.__qualname__, self.leaves[id(cls)])

    def code(self, code: types.CodeType) -> Any:
        """Count code by what it does."""
        return stand_in, (leaves.code_digest(code),)

    def cell(self, cell: types.CellType) -> Any:
        """Count a closure's cell by what it holds."""
        return stand_in, (contents_of(cell),)

    def module(self, module: types.ModuleType) -> Any:
        """Count a module by its name."""
        return stand_in, (module.__name__,)

    def array(self, array: Any) -> Any:
        """Make a leaf of an array, whatever its layout in memory."""
        if array.dtype.hasobject:
            return self.opaque(array)
        return stand_in, (self._digest_of(array, leaves.array_digest),)

    def tensor(self, tensor: Any) -> Any:
        """Make a leaf of a tensor; one on a GPU counts by its address and its count of changes."""
        return stand_in, (self._digest_of(tensor, leaves.tensor_digest),)

    def _digest_of(self, obj: Any, digest: Callable[[Any], bytes]) -> bytes:
        if self._inside is not None:  # it may be gone when the leaf is done, and another object at its address
            return self.leaves.get(id(obj)) or digest(obj)
        self._opened[id(obj)] = obj
        if id(obj) not in self.leaves:
            self.leaves[id(obj)] = digest(obj)
        return self.leaves[id(obj)]

    def _leaf(self, parts: object, inside: object | None) -> bytes:
        key = id(inside)
        if inside is not None and key in self.leaves:
            return self.leaves[key]
        walker = Walker(self._reference, self.leaves, inside if inside is not None else parts)
        walker.dump(parts)
        self.inner.update(walker.inner, (id(obj) for obj in walker._met if type(obj) not in ATOMS))
        digest = walker.digest()
        if inside is not None:
            self.leaves[key] = digest
        return digest


def stand_in(*_: object) -> None:
    """Stand in a hashed stream for what makes an object; never called."""


def _undressed(part: object) -> object:
    """Return what a descriptor of a class holds, as walkable parts."""
    if isinstance(part, (staticmethod, classmethod)):
        return type(part).__name__, part.__func__
    if isinstance(part, property):
        return "property", part.fget, part.fset, part.fdel
    return part


_NOT_THE_CLASS = frozenset({"__dict__", "__weakref__", "__module__", "__doc__", "__abstractmethods__", "_abc_impl"})
_NOT_THE_CLASS |= {"__firstlineno__", "__static_attributes__", "__slotnames__"}
_TYPES_BY_PICKLE = (type(None), type(...), type(NotImplemented))


# ---- which way, by the type; decided once for each ------------------------------------------------------------

_HOW: dict[type, Callable[[Walker, Any], Any]] = {
    types.FunctionType: Walker.function,
    types.CodeType: Walker.code,
    types.CellType: Walker.cell,
    types.ModuleType: Walker.module,
    types.BuiltinFunctionType: Walker.value,
    types.MethodType: Walker.value,
}


def way_of(kind: type) -> Callable[[Walker, Any], Any]:
    """Return how instances of a class are walked."""
    found = _HOW.get(kind)
    if found is None:
        found = _HOW[kind] = _learn(kind)
    return found


def _learn(kind: type) -> Callable[[Walker, Any], Any]:
    module = str(getattr(kind, "__module__", ""))
    if issubclass(kind, type):
        return Walker.classes
    if module == "numpy" and kind.__name__ in ("ndarray", "memmap"):
        return Walker.array
    if module.partition(".")[0] == "torch" and kind.__name__ in ("Tensor", "Parameter"):
        return Walker.tensor
    if module in _VALUES or module in ("numpy", "numpy.dtypes") or isinstance(kind, sys.modules["enum"].EnumMeta):
        return Walker.value
    return Walker.plain if _is_plain(kind) else Walker.opaque


def _is_plain(kind: type) -> bool:
    """Tell whether instances are their attributes, slots and items, and nothing else."""
    if kind in _LIKE_PLAIN:
        return True
    if kind in copyreg.dispatch_table or not kind.__flags__ & HEAP:  # not a class made by `class`
        return False
    if any(isinstance(vars(base).get(name), property) for base in kind.__mro__ for name in ("__dict__", "__class__")):
        return False  # what it says of itself is not what it is
    own_way = kind.__reduce_ex__ is not object.__reduce_ex__ or kind.__reduce__ is not object.__reduce__
    getstate = getattr(kind, "__getstate__", None) is not getattr(object, "__getstate__", None)
    newargs = hasattr(kind, "__getnewargs__") or hasattr(kind, "__getnewargs_ex__")
    return not (own_way or getstate or newargs) and base_of(kind) in (object, list, dict)


_LIKE_PLAIN = (collections.Counter, collections.OrderedDict, collections.defaultdict, collections.deque)


def is_canonical(obj: object) -> bool:
    """Tell whether the digest of a leaf depends on nothing but its contents, so that it holds at both ends."""
    return way_of(type(obj)) in (Walker.array, Walker.tensor)
