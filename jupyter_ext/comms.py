"""The kernel's ends of comms that were opened on a worker: widgets of a remote cell, live in the front end.

    Comm event -> Comms.take -> the kernel's own comm of the same id -> front end
    front end -> the kernel's comm manager -> that comm -> session.comm -> the widget on the worker

The model lives over there, and the kernel only passes on: a callback runs where the widget was made.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jupyter_ext.far import Far
from kernel_proxy.errors import WarmcellError
from remote_runtime.wire import limits
from remote_runtime.wire import messages_pb2 as pb

CONTROL_TARGET = "jupyter.widget.control"
MESSAGE_LIMIT_BYTES = limits.FRAME_LIMIT_BYTES // 2
RUNS_COUNT = 1000
"""Runs of which it is remembered what has been passed on, the latest of them."""


@dataclass(frozen=True)
class _End:
    """The kernel's end of one comm.

    Args:
        comm: Known to the kernel's comm manager.
        far: The session of its other end.
        memory: Number of the session's memory that holds it.
    """

    comm: Any
    far: Far
    memory: int

    @property
    def is_lost(self) -> bool:
        """Whether nothing is at the other end any more."""
        return self.far.session.lost is not None or self.far.memory != self.memory


class Comms:
    """The ends of all comms of one kernel.

    Args:
        tell: Told in a sentence what went wrong with a message of the front end's.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._ends: dict[str, _End] = {}
        self._passed: dict[str, int] = {}
        self._table: Mapping[str, Callable[[Far, pb.Comm], None]] = {
            "open": self._open,
            "msg": self._pass,
            "close": self._close,
        }

    def take(self, far: Far, event: pb.Event) -> None:
        """Pass an event on to the front end, each once: a replay of what was passed changes nothing."""
        passed = self._passed.pop(event.run_id, 0)
        self._passed[event.run_id] = max(passed, event.seq)
        if event.seq <= passed:
            return
        if len(self._passed) > RUNS_COUNT:
            del self._passed[next(iter(self._passed))]
        self._table.get(event.comm.kind, _ignore)(far, event.comm)

    def prune(self) -> None:
        """Close what has nothing at the other end any more: its views show that they are disconnected."""
        for comm_id, end in list(self._ends.items()):
            if end.is_lost:
                self._ends.pop(comm_id).comm.close()

    def close(self) -> None:
        """Close all of them here; over there they live on."""
        for comm_id in list(self._ends):
            self._ends.pop(comm_id).comm.close()

    def _open(self, far: Far, message: pb.Comm) -> None:
        import comm

        if message.comm_id in self._ends:
            return
        mine = comm.create_comm(comm_id=message.comm_id, target_name=message.target_name, primary=False)
        mine.on_msg(lambda told: self._send("msg", message.comm_id, told))
        mine.on_close(lambda told: self._send("close", message.comm_id, told))
        manager = comm.get_comm_manager()
        manager.register_comm(mine)
        if message.target_name.startswith("jupyter.widget"):
            # A page that is loaded anew asks for all widgets at once, which only knows the kernel's own. Refused, it
            # asks each comm.
            manager.register_target(CONTROL_TARGET, lambda theirs, told: theirs.close())
        self._ends[message.comm_id] = _End(mine, far, far.memory)
        content = json.loads(message.content_json)
        keys = {name: content[name] for name in content.keys() - {"data"}}
        mine.publish_msg("comm_open", **_body(message), target_name=message.target_name, **keys)

    def _pass(self, far: Far, message: pb.Comm) -> None:
        end = self._ends.get(message.comm_id)
        if end is not None:  # else it was opened by a run that this kernel has not followed
            end.comm.publish_msg("comm_msg", **_body(message))

    def _close(self, far: Far, message: pb.Comm) -> None:
        end = self._ends.pop(message.comm_id, None)
        if end is not None:
            end.comm.close(**_body(message))

    def _send(self, kind: str, comm_id: str, told: Mapping[str, Any]) -> None:
        end = self._ends.get(comm_id)
        if end is None:
            return
        if kind == "close":
            del self._ends[comm_id]
        message = _message(kind, comm_id, told)
        if message.ByteSize() > MESSAGE_LIMIT_BYTES:
            size, most = message.ByteSize() / limits.MIB, MESSAGE_LIMIT_BYTES // limits.MIB
            self._tell(f"a widget's message of {size:.1f} MiB was not sent: at most {most} MiB can travel")
            return
        try:
            if not end.is_lost:
                end.far.session.comm(message)
                return
        except WarmcellError:  # lost between the question and the sending
            pass
        self.prune()


def _message(kind: str, comm_id: str, told: Mapping[str, Any]) -> pb.Comm:
    content = {name: value for name, value in told["content"].items() if name != "comm_id"}
    metadata = told.get("metadata")
    return pb.Comm(
        kind=kind,
        comm_id=comm_id,
        content_json=json.dumps(content, default=str),
        metadata_json=json.dumps(metadata, default=str) if metadata else "",
        buffers=[bytes(buffer) for buffer in told.get("buffers") or ()],
    )


def _body(message: pb.Comm) -> dict[str, Any]:
    return {
        "data": json.loads(message.content_json).get("data", {}),
        "metadata": json.loads(message.metadata_json or "{}"),
        "buffers": list(message.buffers),
    }


def _ignore(far: Far, message: pb.Comm) -> None:
    """A kind that a later worker may send."""
