"""A machine for the part of pickle that data needs: it calls nothing that the stream names.

    bytes -> load -> a value, up to its STOP; the next `load` goes on behind it with the same memo

Python's own unpickler cannot be held safe: a size or a place in the memo that is only told makes it take memory, it
sets attributes, and hashing a few nested tuples may take it forever. Here each opcode that a pickler of protocol 5
writes for data has a function; any other is refused. What is made costs at most `GROWTH` bytes for each byte that
arrived, and time in proportion to the stream.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from remote_runtime.wire.datakinds import HASHED, NAMES, Half, Layout, Named, Refused, is_scalar

GROWTH = 512
"""Bytes of memory for each byte of the stream: an empty set is two bytes there, and takes some three hundred here."""

NESTED = 200
"""Tuples and frozensets nested deeper are refused: to hash them takes the stack, and nobody looks how much is left."""

SAME_HASH = 64
"""Keys of one hash in one container: with many, each lookup would compare them all."""

KEY_COST, KEY_BUDGET = 8, 1_000_000
"""What hashing may cost for each byte of the stream, and without any; a part of a key counts one."""

COPIED = 16
"""How often what arrived may be copied into values that are made of it."""

_SMALL = 2**61 - 1
"""Whole numbers below it are their own hash."""

Persistent = Callable[[object], object]


class Machine:
    """Reads values from one stream.

    Args:
        stream: Consecutive pickles.
        buffers: What it refers to out of band.
        persistent: Gives what the receiver holds under a number.
    """

    def __init__(self, stream: bytes, buffers: Iterable[memoryview], persistent: Persistent) -> None:
        self._stream, self._at, self._persistent = stream, 0, persistent
        self._buffers: Iterator[memoryview] = iter(buffers)
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self.memo: list[Any] = []
        self._lent: dict[int, object] = {}
        self._depths: dict[int, tuple[int, object]] = {}
        self._hashes: dict[int, dict[int, int]] = {}
        self._budget = KEY_BUDGET + KEY_COST * len(stream)
        self._copies = KEY_BUDGET + COPIED * len(stream)

    @property
    def is_done(self) -> bool:
        """Whether stream and buffers have ended."""
        return self._at == len(self._stream) and next(self._buffers, None) is None

    def load(self) -> Any:
        """Return the next value.

        Raises:
            Refused: It is no data, or makes no sense.
        """
        self._stack.clear()
        self._marks.clear()
        stream, ways = self._stream, _WAYS
        try:
            while (code := stream[self._at]) != _STOP:
                self._at += 1
                ways[code](self)
            self._at += 1
            return self._stack.pop()
        except KeyError:
            raise Refused(f"the opcode {_name(stream[self._at - 1])}") from None
        except (IndexError, struct.error) as error:
            raise Refused("a stream that ends too early") from error
        except (TypeError, ValueError, OverflowError, StopIteration, AttributeError) as error:
            raise Refused(f"what makes no sense as data ({error})") from error

    def check_key(self, key: object, met: dict[int, int]) -> None:
        """Refuse a key that would take long to hash or to find.

        Args:
            key: The key.
            met: How many keys of a hash there are in its container.
        """
        kind = type(key)
        if kind is str or kind is bytes or (kind is int and -_SMALL < key < _SMALL):  # type: ignore[operator]
            return
        self._spend(key)
        count = met[hash(key)] = met.get(hash(key), 0) + 1
        if count > SAME_HASH:
            raise Refused(f"more than {SAME_HASH} keys that have one hash")

    def _spend(self, key: object) -> None:
        """Walk a key as hashing it would, where a part that is shared counts each time."""
        todo: list[Any] = [key]
        while todo:
            part = todo.pop()
            kind = type(part)
            if kind is tuple or kind is frozenset:
                self._budget -= 1
                todo.extend(part)
            elif kind is int or kind is str or kind is bytes:
                self._budget -= 1 + (part.bit_length() // 32 if kind is int else 0)
            elif kind in HASHED or is_scalar(part):
                self._budget -= 64
            else:
                raise Refused(f"a {kind.__name__} as a key")
            if self._budget < 0:
                raise Refused("keys that would take too long to hash")

    # ---- reading ------------------------------------------------------------------------------------------

    def _take(self, size: int) -> bytes:
        found = self._stream[self._at : self._at + size]
        if len(found) != size:
            raise IndexError
        self._at += size
        return found

    def _number(self, layout: str) -> Any:
        return struct.unpack(layout, self._take(struct.calcsize(layout)))[0]

    def _marked(self) -> list[Any]:
        start = self._marks.pop()
        found = self._stack[start:]
        del self._stack[start:]
        return found

    def _own(self, kind: type) -> Any:
        """Return the container on top, which this machine has made."""
        top = self._stack[-1]
        if type(top) is not kind or id(top) in self._lent:
            raise Refused(f"a change to a {type(top).__name__}")
        return top

    def _nest(self, made: Any) -> None:
        inner = [self._depths.get(id(part), (1, None))[0] for part in made if type(part) in (tuple, frozenset)]
        depth = 1 + max(inner, default=0)
        if depth > NESTED:
            raise Refused(f"tuples that are nested more than {NESTED} deep")
        if depth > 1:
            self._depths[id(made)] = depth, made
        self._stack.append(made)

    def _copy(self, told: Iterable[Any]) -> None:
        """Count what a value is made of: the stream may refer to one long text a million times."""
        self._copies -= sum(map(_size, told))
        if self._copies < 0:
            raise Refused("the same contents copied again and again")

    # ---- opcodes ------------------------------------------------------------------------------------------

    def _proto(self) -> None:
        if self._take(1)[0] > 5:
            raise Refused("a pickle of a later protocol")

    def _frame(self) -> None:
        self._take(8)

    def _mark(self) -> None:
        self._marks.append(len(self._stack))

    def _pop(self) -> None:
        self._stack.pop()

    def _memoize(self) -> None:
        top = self._stack[-1]
        if type(top) is Half:
            top.place = len(self.memo)
        self.memo.append(top)

    def _get(self) -> None:
        self._stack.append(self.memo[self._take(1)[0]])

    def _long_get(self) -> None:
        self._stack.append(self.memo[self._number("<I")])

    def _persist(self) -> None:
        number = self._stack.pop()
        found = self._persistent(number)
        self._lent[id(found)] = found
        self._stack.append(found)

    def _global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if type(name) is not str or type(module) is not str:
            raise Refused("a name that is no text")
        if (module, name) == ("builtins", "Ellipsis"):
            self._stack.append(...)
            return
        if (module, name) not in NAMES:
            raise Refused(f"`{module[:80]}.{name[:80]}`")
        self._stack.append(NAMES[module, name])

    def _reduce(self) -> None:
        args, made = self._stack.pop(), self._stack.pop()
        if type(made) is not Named or type(args) is not tuple:
            raise Refused(f"a call of a {type(made).__name__}")
        self._copy(args)
        try:
            self._stack.append(made.make(*args))
        except (TypeError, ValueError, ArithmeticError, LookupError, UnicodeError) as error:
            raise Refused(f"`{made.title}` with arguments that do not fit ({str(error)[:200]})") from error

    def _build(self) -> None:
        state, top = self._stack.pop(), self._stack[-1]
        self._copy(state if type(state) is tuple else [state])
        try:
            if type(top) is Layout:
                top.build(state)
            elif type(top) is Half:
                self._stack[-1] = made = top.finish(state)
                if top.place is not None:
                    self.memo[top.place] = made
            else:
                raise Refused(f"a state for a {type(top).__name__}")
        except (TypeError, ValueError, ArithmeticError, LookupError, UnicodeError) as error:
            raise Refused(f"a state that does not fit ({str(error)[:200]})") from error

    def _append(self) -> None:
        part = self._stack.pop()
        self._own(list).append(part)

    def _appends(self) -> None:
        parts = self._marked()
        self._own(list).extend(parts)

    def _set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._fill([key, value])

    def _set_items(self) -> None:
        self._fill(self._marked())

    def _fill(self, told: list[Any]) -> None:
        target = self._own(dict)
        met = self._hashes.setdefault(id(target), {})
        for key, value in zip(told[::2], told[1::2], strict=True):
            self.check_key(key, met)
            target[key] = value

    def _add_items(self) -> None:
        parts = self._marked()
        target = self._own(set)
        met = self._hashes.setdefault(id(target), {})
        for part in parts:
            self.check_key(part, met)
            target.add(part)

    def _frozen(self) -> None:
        parts, met = self._marked(), dict[int, int]()
        for part in parts:
            self.check_key(part, met)
        self._nest(frozenset(parts))

    def _tuple(self) -> None:
        self._nest(tuple(self._marked()))

    def _tuple_of(self, count: int) -> None:
        made = tuple(self._stack[-count:])
        del self._stack[-count:]
        self._nest(made)

    def _buffer(self) -> None:
        self._stack.append(next(self._buffers))

    def _read_only(self) -> None:
        self._stack[-1] = memoryview(self._stack[-1]).toreadonly()

    def _text(self, size: int) -> None:
        self._stack.append(self._take(size).decode("utf-8", "surrogatepass"))


_STOP = pickle.STOP[0]


def _pushed(make: Callable[[], object]) -> Callable[[Machine], None]:
    return lambda machine: machine._stack.append(make())


def _told(layout: str) -> Callable[[Machine], None]:
    return lambda machine: machine._stack.append(machine._number(layout))


def _sized(layout: str, kind: Callable[[bytes], object] = bytes) -> Callable[[Machine], None]:
    return lambda machine: machine._stack.append(kind(machine._take(machine._number(layout))))


def _whole(told: bytes) -> int:
    return int.from_bytes(told, "little", signed=True)


_WAYS: Mapping[int, Callable[[Machine], None]] = {code[0]: way for code, way in {
    pickle.PROTO: Machine._proto, pickle.FRAME: Machine._frame, pickle.MARK: Machine._mark, pickle.POP: Machine._pop,
    pickle.MEMOIZE: Machine._memoize, pickle.BINGET: Machine._get, pickle.LONG_BINGET: Machine._long_get,
    pickle.BINPERSID: Machine._persist, pickle.STACK_GLOBAL: Machine._global, pickle.REDUCE: Machine._reduce,
    pickle.NEWOBJ: Machine._reduce, pickle.BUILD: Machine._build, pickle.NEXT_BUFFER: Machine._buffer,
    pickle.READONLY_BUFFER: Machine._read_only,
    pickle.NONE: _pushed(lambda: None), pickle.NEWTRUE: _pushed(lambda: True), pickle.NEWFALSE: _pushed(lambda: False),
    pickle.EMPTY_LIST: _pushed(list), pickle.EMPTY_DICT: _pushed(dict), pickle.EMPTY_SET: _pushed(set),
    pickle.EMPTY_TUPLE: _pushed(tuple), pickle.BININT: _told("<i"), pickle.BININT1: _told("<B"),
    pickle.BININT2: _told("<H"), pickle.BINFLOAT: _told(">d"),
    pickle.LONG1: _sized("<B", _whole), pickle.LONG4: _sized("<I", _whole),
    pickle.SHORT_BINBYTES: _sized("<B"), pickle.BINBYTES: _sized("<I"), pickle.BINBYTES8: _sized("<Q"),
    pickle.BYTEARRAY8: _sized("<Q", bytearray),
    pickle.SHORT_BINUNICODE: lambda machine: machine._text(machine._number("<B")),
    pickle.BINUNICODE: lambda machine: machine._text(machine._number("<I")),
    pickle.BINUNICODE8: lambda machine: machine._text(machine._number("<Q")),
    pickle.APPEND: Machine._append, pickle.APPENDS: Machine._appends, pickle.SETITEM: Machine._set_item,
    pickle.SETITEMS: Machine._set_items, pickle.ADDITEMS: Machine._add_items, pickle.FROZENSET: Machine._frozen,
    pickle.TUPLE: Machine._tuple, pickle.TUPLE1: lambda machine: machine._tuple_of(1),
    pickle.TUPLE2: lambda machine: machine._tuple_of(2), pickle.TUPLE3: lambda machine: machine._tuple_of(3),
}.items()}  # fmt: skip
"""Opcode -> what the machine does."""


def _size(part: Any) -> int:
    kind = type(part)
    if kind in (str, bytes, bytearray, tuple, list, dict):
        return 1 + len(part)
    return 1 + (part.bit_length() // 8 if kind is int else 0)


def _name(code: int) -> str:
    known = (name for name, value in vars(pickle).items() if type(value) is bytes and value == bytes([code]))
    return next(known, f"{code:#x}")
