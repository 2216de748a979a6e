"""A bundle of whoever is not trusted, back into named values: as `unpacking.py`, without running anything it names.

    Bundle -> Machine -> contents, pairs, tail -> all of it data? -> landing -> {name: value}, or UnpackError

The stream is the one that `payload.pack` writes; what in it is no data is refused, and with it all of the bundle.
Nothing is changed here before all has been read and looked at.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

from remote_runtime.wire.bundle import SEAL_BYTES, Bundle, seal
from remote_runtime.wire.data import why_not
from remote_runtime.wire.datakinds import Named, Refused
from remote_runtime.wire.opcodes import Machine
from remote_runtime.wire.unpacking import Landing, Parted, UnpackError, diagnose

EXCEPTION = "!exception"
REASON = "untrusted"
"""`UnpackError.reason` of what was refused."""

_CONTENTS: Mapping[str, tuple[str, type]] = {
    "list": ("list", list),
    "dict": ("dict", dict),
    "set": ("set", list),
    "bytes": ("bytearray", bytes),
}
"""Kind of contents that may be given to a twin -> the twin's own type, and what the contents are."""

_HELD = ("list", "dict", "set", "bytearray", "ndarray")
"""What both ends may hold by number: nothing else that is data changes."""


def _refuse(*_: Any) -> object:
    raise Refused("the notebook's names")


NAMESPACE = Named("the notebook's names", _refuse)


def read_data(bundle: Bundle, landing: Landing | None = None) -> dict[str, object]:
    """Rebuild the values of a bundle that holds data alone.

    Args:
        bundle: As `pack` made it, or so it says.
        landing: What both ends hold, as in `unpack`.

    Raises:
        UnpackError: It holds something else, or is damaged.
    """
    reader = _DataReader(bundle, landing)
    try:
        return reader.values()
    except Refused as error:
        raise untrusted(reader.name, str(error)) from None
    except (Parted, pickle.UnpicklingError) as error:
        raise diagnose(error, reader.name) from error


def untrusted(name: str, what: str) -> UnpackError:
    """Return the error for a name that is not taken, because of what is in it."""
    if not name or name == EXCEPTION:
        hint = "run the cell again; what is no data stays remote: leave it there, or set trust to `all`"
        return UnpackError(REASON, f"the values were refused: the worker sent {what}, and data alone is taken", hint)
    message = f"`{name}` was refused: the worker sent {what}, and data alone is taken"
    hint = f"`%gpu get {name} --trust` takes it all the same, and runs what it says here"
    return UnpackError(REASON, message, hint, name)


class _DataReader:
    """One bundle on its way in."""

    def __init__(self, bundle: Bundle, landing: Landing | None) -> None:
        # A copy: what lies in shared memory could become another while it is read.
        self._stream, self._landing, self.name = bytes(bundle.pickle), landing, ""
        self._machine = Machine(self._stream[:-SEAL_BYTES], bundle.buffers, self._held)
        self._told: list[tuple[str, int, tuple[str, Any]]] = []

    def values(self) -> dict[str, object]:
        """Read all, look at all, and hand over what the receiver must know."""
        if seal(self._stream[:-SEAL_BYTES]) != self._stream[-SEAL_BYTES:]:
            raise pickle.UnpicklingError("the check sum differs")
        machine = self._machine
        machine.load()
        while (told := machine.load()) is not None:
            self._told.append(self._contents(told))
        pairs: dict[str, object] = {}
        while (name := machine.load()) is not None:
            self.name = _checked_name(name)
            pairs[name] = machine.load()
        self.name, tail = "", machine.load()
        if not machine.is_done:
            raise Refused("more than its values")
        self._check(pairs)
        if self._landing is not None:
            self._land(pairs, tail)
        return pairs

    def _held(self, number: Any) -> object:
        if type(number) is not int:
            raise Refused("a number that is none")
        if not number:
            return NAMESPACE
        found = self._landing.object(number) if self._landing is not None else None
        if found is None:
            raise Parted("the bundle refers to an object that is not held here")
        return found

    def _contents(self, told: Any) -> tuple[str, int, tuple[str, Any]]:
        """Look at contents for a twin: of a container of Python's, or of an array."""
        if not _is_of(told, str, int, tuple) or not _is_of(told[2], str, type(told[2][-1]) if told[2] else str):
            raise Refused("contents that are none")
        (name, number, (kind, held)), twin = told, None
        self.name = name
        if self._landing is not None:
            twin = self._landing.object(number)
        if twin is not None and not _is_fitting(kind, held, twin):
            raise Refused(f"contents of a {kind} for a {type(twin).__name__}")
        return told

    def _check(self, pairs: Mapping[str, object]) -> None:
        """Look at all values, when nothing changes them any more."""
        seen: set[int] = set()
        for name, value in [*((name, content[1]) for name, _, content in self._told), *pairs.items()]:
            self.name = name
            why = why_not(value, seen)
            if why:
                raise Refused(why)
        for name, _, (kind, held) in self._told:
            self.name = name
            met: dict[int, int] = {}
            for part in held if kind == "set" else ():
                self._machine.check_key(part, met)
        self.name = ""

    def _land(self, pairs: dict[str, object], tail: Any) -> None:
        memo = dict(enumerate(self._machine.memo))
        if tail is not None and not _is_tail(tail, memo):
            raise Refused("an end that is none")
        for told in self._told:
            self._landing.content(*told)
        if tail is not None:
            self._landing.land(pairs, memo if tail[0] else {}, tail)


def _checked_name(name: Any) -> str:
    """Refuse names by which Python finds its own parts."""
    if type(name) is not str or not (name == EXCEPTION or name.isidentifier()) or name.startswith("__"):
        raise Refused(f"the name {str(name)[:80]!r}")
    return name


def _is_fitting(kind: str, held: Any, twin: Any) -> bool:
    if kind == "array":
        return type(twin).__name__ == type(held).__name__ == "ndarray" and type(twin) is type(held)
    if kind not in _CONTENTS:
        return False
    mine, theirs = _CONTENTS[kind]
    return type(twin) in (list, dict, set, bytearray) and type(twin).__name__ == mine and type(held) is theirs


def _is_of(told: Any, *kinds: type) -> bool:
    return type(told) is tuple and len(told) == len(kinds) and all(map(_is, told, kinds))


def _is(value: object, kind: type) -> bool:
    return type(value) is kind


def _is_tail(tail: Any, memo: Mapping[int, object]) -> bool:
    if not _is_of(tail, list, list, dict, list, dict, dict):
        return False
    places, numbers, leaves, changed, needs, views = tail
    return (
        len(places) == len(numbers)
        and all(type(n) is int for n in (*numbers, *places, *leaves, *views, *views.values()))
        and all(type(memo.get(place)).__name__ in _HELD for place in places)
        and all(type(leaf) is bytes for leaf in leaves.values())
        and all(type(name) is str for name in (*changed, *needs))
        and all(type(part) is str for told in needs.values() if type(told) in (tuple, list) for part in told)
        and all(type(told) in (tuple, list) for told in needs.values())
    )
