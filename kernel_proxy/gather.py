"""Which values of the notebook travel with a cell, and why; refused before anything runs when one cannot.

    Wanted, namespace -> values by name -> pack -> names that their code mentions -> more values -> Capture
                                                                                -> or CaptureError

A name that is absent here is no error: it may be alive there. A handle travels as a token. `survey` walks
the same road and turns what would be an error into a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from kernel_proxy.errors import CaptureError, HandleError
from kernel_proxy.gates import Gates, estimate_bytes, is_shells
from kernel_proxy.handles import Handle, size_text
from remote_runtime.wire.payload import Packed, PackError, pack

__all__ = ["Capture", "Gates", "Row", "Wanted", "gather", "survey"]

Action = Literal["send", "reuse", "absent", "skip"]

_ITERATORS = (
    "list_iterator",
    "tuple_iterator",
    "zip",
    "map",
    "filter",
    "enumerate",
    "reversed",
    "range_iterator",
)


@dataclass(frozen=True)
class Wanted:
    """What a cell asks of the notebook.

    Args:
        reads: Names that it may read before it binds them.
        weak_reads: Names that a function in it may read; sent if they are here and can travel.
        inputs: Remote name and local name of each `-i`.
        only: Whether the inputs are all; what their code uses travels nevertheless.
    """

    reads: frozenset[str]
    weak_reads: frozenset[str] = frozenset()
    inputs: tuple[tuple[str, str], ...] = ()
    only: bool = False


@dataclass(frozen=True)
class Row:
    """One name of the plan.

    Args:
        name: The remote name.
        why: `read`, `weak`, `-i`, or `used by` and a variable.
        type_name: The value's class; empty when it is absent.
        size_bytes: What it adds to the bundle, or an estimate; None when unknown.
        action: What happens with it. `skip` stays here.
        problem: Why it cannot travel, or None.
        fix: What to do about that, or None.
    """

    name: str
    why: str
    type_name: str = ""
    size_bytes: int | None = None
    action: Action = "send"
    problem: str | None = None
    fix: str | None = None


@dataclass(frozen=True)
class Capture:
    """What travels with a cell.

    Args:
        packed: The values.
        rows: Every name that was considered.
        reused: Names whose value is alive there already; only their tokens travel.
        aliases: Names of which that is true under another name there.
        notices: What the user may not expect, in sentences.
    """

    packed: Packed
    rows: tuple[Row, ...]
    reused: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def gather(wanted: Wanted, namespace: dict[str, Any], *, session_id: str | None, gates: Gates) -> Capture:
    """Pack what a cell needs.

    Args:
        wanted: What it asks for.
        namespace: The notebook's.
        session_id: The session it goes to; None when it is not open yet.
        gates: The limits for what is captured by itself.

    Raises:
        CaptureError: A value cannot travel.
        SizeGate: A value is too large to be sent without being asked for.
        SecretGate: A string is named like a secret.
    """
    draft = _Draft(wanted, namespace, session_id, gates)
    packed = draft.packed(strict=True)
    handles = {name: value for name, value in draft.values.items() if type(value) is Handle}
    return Capture(
        packed,
        tuple(draft.rows.values()),
        tuple(handles),
        tuple(name for name, handle in handles.items() if handle.name != name),
        tuple(_notices(draft.values)),
    )


def survey(
    wanted: Wanted, namespace: dict[str, Any], *, session_id: str | None, gates: Gates
) -> tuple[Row, ...]:
    """Tell what `gather` would do, problems included; takes the same arguments, raises nothing of its own."""
    draft = _Draft(wanted, namespace, session_id, gates)
    draft.packed(strict=False)
    return tuple(draft.rows.values())


class _Draft:
    """A capture in the making.

    Args:
        wanted: As `gather` takes it.
        namespace: As `gather` takes it.
        session_id: As `gather` takes it.
        gates: As `gather` takes it.
    """

    def __init__(
        self, wanted: Wanted, namespace: dict[str, Any], session_id: str | None, gates: Gates
    ) -> None:
        self._wanted, self._namespace = wanted, namespace
        self._session_id, self._gates = session_id, gates
        self._strict = True
        self._refused: set[str] = set()
        self.rows: dict[str, Row] = {}
        self.values: dict[str, object] = {}

    def packed(self, strict: bool) -> Packed:
        """Pack, again without what was refused until the rest can travel.

        Args:
            strict: Whether a problem is raised; else it becomes a row.

        Raises:
            CaptureError: A value cannot travel, and `strict`.
        """
        self._strict = strict
        while True:
            try:
                packed = self._attempt()
            except PackError as error:
                self._refuse(error.name, _capture_error(error, self.rows[error.name]))
                continue
            over = {name: self._too_large(name, size) for name, size in packed.sizes.items()}
            large = {name: error for name, error in over.items() if error is not None}
            if not large:
                self._note_sizes(packed)
                return packed
            for name, error in large.items():
                self._refuse(name, error)

    def _attempt(self) -> Packed:
        self.rows = {name: row for name, row in self.rows.items() if name in self._refused}
        self.values = {}
        for name, source, why in self._requests():
            self._consider(name, source, why)
        return pack(
            dict(self.values), namespace=self._namespace, reference=self._reference, expand=self._expand
        )

    def _requests(self) -> Iterator[tuple[str, str, str]]:
        yield from ((name, source, "-i") for name, source in self._wanted.inputs)
        if not self._wanted.only:
            yield from ((name, name, "read") for name in sorted(self._wanted.reads))
            yield from ((name, name, "weak") for name in sorted(self._wanted.weak_reads))

    def _expand(self, mentions: Mapping[str, str]) -> dict[str, object]:
        before = set(self.values)
        for name, by in mentions.items():
            if name in self._namespace and not is_shells(name, self._namespace):
                self._consider(name, name, f"used by {by}")
        return {name: value for name, value in self.values.items() if name not in before}

    def _consider(self, name: str, source: str, why: str) -> None:
        """Take a name into the capture, or note why not."""
        if name in self.values or name in self._refused:
            return
        if source not in self._namespace:
            self.rows[name] = Row(name, why, action="absent")
            if why == "-i":
                self._refuse(name, _undefined(source))
            return
        value = self._namespace[source]
        if why != "-i" and is_shells(source, self._namespace):
            self.rows[name] = Row(name, why, type(value).__name__, action="skip")
            return
        self.rows[name] = self._row(name, why, value)
        error = self._stopped(name, why, value)
        if error is None:
            self.values[name] = value
        else:
            self._refuse(name, error)

    def _row(self, name: str, why: str, value: object) -> Row:
        if type(value) is Handle:
            return Row(name, why, value.info.type_name, value.info.size_bytes, "reuse")
        return Row(name, why, type(value).__name__, estimate_bytes(value))

    def _stopped(self, name: str, why: str, value: object) -> CaptureError | None:
        if type(value) is Handle and value.session_id != self._session_id:
            return _foreign(name, name)
        return None if why == "-i" else self._gates.stopped(name, value)

    def _too_large(self, name: str, size_bytes: int) -> CaptureError | None:
        return None if self.rows[name].why == "-i" else self._gates.too_large(name, size_bytes)

    def _reference(self, obj: object) -> str | None:
        return obj.token if type(obj) is Handle and obj.session_id == self._session_id else None

    def _refuse(self, name: str, error: CaptureError) -> None:
        """Leave a name out.

        Raises:
            CaptureError: The name is needed, and problems are raised.
        """
        row = self.rows[name]
        if self._strict and row.why != "weak":
            raise error
        self._refused.add(name)
        self.rows[name] = replace(row, action="skip", problem=error.message, fix=error.hint)

    def _note_sizes(self, packed: Packed) -> None:
        for name in packed.names:
            row = self.rows[name]
            if row.action == "send":
                self.rows[name] = replace(row, size_bytes=packed.sizes[name])


def _capture_error(error: PackError, row: Row) -> CaptureError:
    if isinstance(error.cause, HandleError):
        return _foreign(error.name, error.path)
    user = row.why.removeprefix("used by ")
    used = f"; `{user}` uses it" if user != row.why else ""
    return CaptureError(error.message + used, error.hint)


def _foreign(name: str, path: str) -> CaptureError:
    what = "it" if name == path else f"`{path}`"
    return CaptureError(
        f"`{name}` cannot travel: {what} is a handle of another session",
        f"copy the value here first: `{path} = {path}.get()`",
    )


def _undefined(source: str) -> CaptureError:
    return CaptureError(
        f"`-i` names `{source}`, which is not defined in the notebook",
        f"run the cell that creates `{source}`, or leave it out of `-i`",
    )


def _notices(values: Mapping[str, object]) -> Iterator[str]:
    for name, value in values.items():
        kind = type(value)
        if kind.__module__ == "builtins" and kind.__name__ in _ITERATORS:
            yield f"`{name}` is an iterator: its copy advances there, this one does not"
        elif kind.__name__ == "memmap" and kind.__module__.startswith("numpy"):
            yield f"`{name}` is memory-mapped: all of it travels, {size_text(estimate_bytes(value))}"
