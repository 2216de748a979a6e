r"""A session as the notebook sees it: which memory it is, the handles on it, and the values that come from it.

    Held -> Far.handle -> Handle bound in the notebook -> .get() -> Far.copy -> value
                              \\- garbage collected -> queue -> Far.let_go, with the next run

A session outlives its memory: a user process that died is replaced. What belongs to which memory is told by `key`.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Any

from jupyter_ext.receipt import devices_text
from kernel_proxy.errors import SessionLost, TransferError, TrustError
from kernel_proxy.handles import Handle, ValueInfo
from kernel_proxy.mirror import SessionMirror
from kernel_proxy.session import Session
from kernel_proxy.sources_sync import Shipment
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.datareader import REASON
from remote_runtime.wire.unpacking import UnpackError


class Far:
    """A session and its present memory.

    Args:
        session: The open session.
        notebook: Whose session it is.

    Attributes:
        paths_asked: Literal paths that were looked for there.
        shipment: What it has of the notebook's local modules.
    """

    def __init__(self, session: Session, notebook: str = "") -> None:
        self.session, self._notebook = session, notebook
        self.paths_asked: set[str] = set()
        self.shipment = Shipment()
        self._mirror: tuple[str, SessionMirror] | None = None
        self._forgotten: list[str] = []
        self._memory = 0
        self._is_closed = False
        self._dropped: deque[tuple[str, str]] = deque()

    @property
    def memory(self) -> int:
        """Number of the session's present memory."""
        return max(self._memory, self.session.incarnation)

    @property
    def key(self) -> str:
        """Names the session's present memory; handles of another key are lost."""
        return f"{self.session.session_id}/{self.memory}"

    @property
    def where(self) -> str:
        """The devices, as text."""
        return devices_text(self.session.devices)

    @property
    def mirror(self) -> SessionMirror:
        """What both ends hold of the names; a new, empty one for each memory."""
        key = self.key
        if self._mirror is None or self._mirror[0] != key:
            self._forgotten += self._mirror[1].names if self._mirror is not None else []
            self._mirror = key, SessionMirror(self._notebook, self.session.namespace, partial(_token, key))
        return self._mirror[1]

    def forgotten(self) -> list[str]:
        """Return the names that were held at both ends by a memory that is lost; told once."""
        if not self.mirror.names and not self._forgotten:
            return []
        namespace = self.session.namespace
        names, self._forgotten = self._forgotten, []
        return sorted(name for name in names if name in namespace and type(namespace[name]) is not Handle)

    def sweep(self) -> None:
        """Let go of values that the notebook's names no longer stand for."""
        if self._mirror is not None:
            self._mirror[1].sweep()

    def note_end(self, end: pb.End, memory: int) -> None:
        """Notice that a run lost the memory it ran in.

        Args:
            end: The run's end.
            memory: Number of the memory when the run was sent.
        """
        if end.problem.code:
            self.shipment.forget()
        if end.memory_lost:
            # The worker tells the new number just after the end; the next cell may come before it.
            self._memory = max(self._memory, memory + 1)

    def handle(self, held: pb.Held) -> Handle:
        """Make the handle of a value that stays remote."""
        info = ValueInfo(
            type_name=held.type_name,
            size_bytes=held.size_bytes if held.HasField("size_bytes") else None,
            shape=tuple(held.shape) if held.has_shape else None,
            dtype=held.dtype or None,
            device=held.device or None,
            preview=held.preview,
        )
        key = self.key
        fetch = partial(self._fetch, held.name, key)
        on_drop = partial(self._queue_drop, key)
        return Handle(held.token, held.name, info, fetch, key, self.where, on_drop)

    def take_over(self, name: str, trust: bool = False) -> Any:
        """Copy a remote value here, to stand for the name that it has there: both ends hold it then.

        Args:
            name: The name.
            trust: Whether it may be anything, though data alone is taken otherwise.

        Raises:
            NotFound: There is no such name.
            TransferError: It cannot be rebuilt here.
        """
        try:
            value = self.session.fetch_shared(name, self.mirror, trust)
        except UnpackError as error:
            self.mirror.part()
            raise _refusal(error) from error
        return value

    def copy(self, name: str) -> Any:
        """Copy a remote value here, by its name.

        Raises:
            NotFound: There is no such name.
            TransferError: It cannot be rebuilt here.
        """
        return self._rebuilt(name=name)

    def let_go(self) -> None:
        """Tell the worker of handles that are gone here. Cheap when there are none."""
        tokens = []
        while self._dropped:
            key, token = self._dropped.popleft()
            if key == self.key:
                tokens.append(token)
        if tokens:
            self.session.drop(tokens)

    def close(self) -> None:
        """Detach; the session lives on at the runtime."""
        self._is_closed = True
        self.session.close()

    def _queue_drop(self, key: str, token: str) -> None:
        # Called by the garbage collector, anywhere: it may neither lock nor send.
        self._dropped.append((key, token))

    def _fetch(self, name: str, key: str, token: str, timeout_s: float | None, trust: bool) -> Any:
        if self._is_closed:
            raise SessionLost(f"`{name}` was held by a connection that is closed", f"`%gpu get {name}` copies it here")
        if key != self.key or self.session.lost is not None:
            raise lost_handle(name)
        return self._rebuilt(name=name, token=token, timeout_s=timeout_s, trust=trust)

    def _rebuilt(self, **which: Any) -> Any:
        try:
            return self.session.fetch(**which)
        except UnpackError as error:
            raise _refusal(error) from error


def _refusal(error: UnpackError) -> TransferError:
    return (TrustError if error.reason == REASON else TransferError)(error.message, error.hint)


def _token(key: str, obj: object) -> str | None:
    return obj.token if type(obj) is Handle and obj.session_id == key else None


def lost_handle(name: str) -> SessionLost:
    """Return the error for using a handle whose memory is gone."""
    return SessionLost(
        f"`{name}` is gone: the memory of the session that held it was lost",
        f"rerun the cell that makes `{name}`",
    )
