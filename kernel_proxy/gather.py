"""Which values of the notebook travel with a cell, and why; refused before anything runs when one cannot.

    Wanted, namespace -> values by name -> pack -> names that their code mentions -> more values -> Capture
                                                                                -> or CaptureError

A name that is absent here is no error: it may be alive there. A handle travels as a token. `survey` walks
the same road and turns what would be an error into a row.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kernel_proxy import refusals
from kernel_proxy.errors import CaptureError
from kernel_proxy.gates import Gates, estimate_bytes, is_shells
from kernel_proxy.handles import Handle
from kernel_proxy.mirror import SessionMirror
from kernel_proxy.wanted import Row, Wanted
from remote_runtime.wire.bundle import Bundle
from remote_runtime.wire.delta import Delta
from remote_runtime.wire.payload import Packed, PackError, pack

__all__ = ["Capture", "Gates", "Row", "Wanted", "gather", "survey"]


@dataclass(frozen=True)
class Capture:
    """What travels with a cell.

    Args:
        packed: The values.
        rows: Every name that was considered.
        reused: Names whose value is alive there already; only their tokens travel.
        aliases: Names of which that is true under another name there.
        notices: What the user may not expect, in sentences.
        delta: What both ends hold, and what of it changed; None for a session that is not open.
    """

    packed: Packed
    rows: tuple[Row, ...]
    reused: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    delta: Delta | None = None

    @property
    def bundle(self) -> Bundle | None:
        """What travels; None when nothing does."""
        tells = self.packed.names or (self.delta is not None and self.delta.changed)
        return self.packed.bundle if tells else None

    @contextmanager
    def kept_if_sent(self) -> Iterator[None]:
        """Take back what was noted for the session when the run cannot be sent after all."""
        try:
            yield
        except BaseException:
            if self.delta is not None:
                self.delta.abandon()
            raise

    @property
    def considered(self) -> list[str]:
        """Names that were looked at, those that code mentions included."""
        return [row.name for row in self.rows]

    @property
    def sent(self) -> list[str]:
        """Names whose values, or what changed in them, travel."""
        return sorted(set(self.packed.names).union(self.delta.changed if self.delta else ()).difference(self.reused))


def gather(
    wanted: Wanted,
    namespace: dict[str, Any],
    *,
    session_id: str | None,
    gates: Gates,
    mirror: SessionMirror | None = None,
) -> Capture:
    """Pack what a cell needs.

    Args:
        wanted: What it asks for.
        namespace: The notebook's.
        session_id: The session it goes to; None when it is not open yet.
        gates: The limits for what is captured by itself.
        mirror: What the session holds already; None sends everything.

    Raises:
        CaptureError: A value cannot travel.
        SizeGate: A value is too large to be sent without being asked for.
        SecretGate: A string is named like a secret.
    """
    draft = _Draft(wanted, namespace, session_id, gates, mirror)
    packed = draft.packed(strict=True)
    handles = {name: value for name, value in draft.values.items() if type(value) is Handle}
    return Capture(
        packed,
        tuple(draft.rows.values()),
        (*handles, *(sorted(draft.delta.same) if draft.delta is not None else ())),
        tuple(name for name, handle in handles.items() if handle.name != name),
        tuple(refusals.notices(draft.values)),
        draft.delta,
    )


def survey(
    wanted: Wanted,
    namespace: dict[str, Any],
    *,
    session_id: str | None,
    gates: Gates,
    mirror: SessionMirror | None = None,
) -> tuple[Row, ...]:
    """Tell what `gather` would do, problems included; takes the same arguments, raises nothing of its own."""
    draft = _Draft(wanted, namespace, session_id, gates, mirror)
    draft.packed(strict=False)
    if draft.delta is not None:
        draft.delta.abandon()
    return tuple(draft.rows.values())


class _Draft:
    """A capture in the making.

    Args:
        wanted: As `gather` takes it.
        namespace: As `gather` takes it.
        session_id: As `gather` takes it.
        gates: As `gather` takes it.
        mirror: As `gather` takes it.
    """

    def __init__(
        self,
        wanted: Wanted,
        namespace: dict[str, Any],
        session_id: str | None,
        gates: Gates,
        mirror: SessionMirror | None,
    ) -> None:
        self._mirror, self.delta = mirror, mirror.delta() if mirror is not None else None
        self._wanted, self._namespace = wanted, namespace
        self._session_id, self._gates = session_id, gates
        self._strict = True
        self._refused: set[str] = set()
        self._followed: set[str] = set()
        self._waiting: deque[tuple[str, str]] = deque()
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
        try:
            return self._packed()
        except BaseException:
            if self.delta is not None:
                self.delta.abandon()
            raise

    def _packed(self) -> Packed:
        while True:
            try:
                packed = self._attempt()
            except PackError as error:
                self._meet(error.name)
                self._refuse(error.name, refusals.capture_error(error, self.rows[error.name].why))
                continue
            for name in packed.sizes:
                self._meet(name)
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
        self._followed.clear()
        for name, source, why in self._requests():
            self._consider(name, source, why)
        self._go_on()
        while True:
            extent = self.delta.extent if self.delta is not None else None
            self._send_again()
            packed = pack(
                dict(self.values),
                namespace=self._namespace,
                reference=self._reference,
                expand=self._expand,
                shared=self.delta,
            )
            if self.delta is None or self.delta.extent == extent:
                return packed

    def _send_again(self) -> None:
        """Take in names that the session holds, but not as the views that they are here."""
        for name in self.delta.again.difference(self.values) if self.delta is not None else ():
            self.values[name] = self._namespace[name]
            self.rows[name] = self.rows[name]._replace(action="send")

    def _meet(self, name: str) -> None:
        """Note a name that travels because another value holds what changed in its own."""
        if name not in self.rows:
            self.rows[name] = Row(name, "shared", type(self._namespace.get(name)).__name__)

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
        self._go_on()
        return {name: value for name, value in self.values.items() if name not in before}

    def _consider(self, name: str, source: str, why: str) -> None:
        """Take a name into the capture, or note why not."""
        if name in self.values or name in self._refused:
            return
        if source not in self._namespace:
            self.rows[name] = Row(name, why, action="absent")
            if why == "-i":
                self._refuse(name, refusals.undefined(source))
            return
        value = self._namespace[source]
        if self._is_held(name, source, why, value):
            return
        if why != "-i" and is_shells(source, self._namespace):
            self.rows[name] = Row(name, why, type(value).__name__, action="skip")
            return
        self.rows[name] = self._row(name, why, value)
        error = self._stopped(name, why, value)
        if error is not None:
            self._refuse(name, error)
        elif self._weigh(name, source, why, value) != "changed":
            self.values[name] = value

    def _is_held(self, name: str, source: str, why: str, value: object) -> bool:
        """Reuse a value that the session has as it is; what its code mentions is looked at all the same."""
        if self._mirror is None or not self._mirror.knows(name) or self._weigh(name, source, why, value) != "same":
            return False
        self.rows[name] = Row(name, why, type(value).__name__, None, "reuse")
        self._follow(name)
        return True

    def _weigh(self, name: str, source: str, why: str, value: object) -> str:
        if self.delta is None or name != source or type(value) is Handle:
            return "new"
        how = self.delta.weigh(name, value, force=why == "-i" or self._wanted.fresh)
        if how == "changed":
            self._follow(name)
        return how

    def _follow(self, name: str) -> None:
        if self._mirror is not None and name not in self._followed:
            self._followed.add(name)
            self._waiting.extend((needed, name) for needed in self._mirror.needs(name))

    def _go_on(self) -> None:
        """Take in what code of names that do not travel mentions, and what the code of that does."""
        while self._waiting:
            needed, by = self._waiting.popleft()
            if needed in self._namespace and not is_shells(needed, self._namespace):
                self._consider(needed, needed, f"used by {by}")

    def _row(self, name: str, why: str, value: object) -> Row:
        if type(value) is Handle:
            return Row(name, why, value.info.type_name, value.info.size_bytes, "reuse")
        return Row(name, why, type(value).__name__, estimate_bytes(value))

    def _stopped(self, name: str, why: str, value: object) -> CaptureError | None:
        if type(value) is Handle and value.session_id != self._session_id:
            return refusals.foreign(name, name)
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
        if self.delta is not None:
            self.delta.give_up(name)
        self.rows[name] = row._replace(action="skip", problem=error.message, fix=error.hint)

    def _note_sizes(self, packed: Packed) -> None:
        for name in packed.sizes:
            row = self.rows[name]
            if row.action == "send":
                self.rows[name] = row._replace(size_bytes=packed.sizes[name])
