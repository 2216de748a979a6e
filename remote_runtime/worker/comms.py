"""Comms of the user process: what ipywidgets and others say to the front end, and what it says to them.

    widget -> Comm.publish_msg -> Comm event of the run whose code speaks -> keeper -> kernel -> front end
    front end -> kernel -> keeper -> Comms.deliver -> the comm's callback, as code of the run that opened the comm

Between cells the loop delivers at once; while a cell computes, messages wait, as they do in a local kernel.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import comm
from comm.base_comm import BaseComm, CommManager

from remote_runtime.wire import limits
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.worker.captures import Capture
from remote_runtime.worker.origin import RUN
from remote_runtime.worker.outputs import Outputs
from remote_runtime.worker.plain import plain

MESSAGE_LIMIT_BYTES = limits.FRAME_LIMIT_BYTES // 2
KINDS = {"comm_open": "open", "comm_msg": "msg", "comm_close": "close"}
OUTPUT_MODEL = "OutputModel"


class Parent:
    """What a comm gives for a kernel: an Output widget asks it for the message that runs the code."""

    @staticmethod
    def get_parent() -> dict[str, Any]:
        """Return the message; our runs go by their own ids."""
        return {"header": {"msg_id": RUN.get() or "warmcell"}}


class Comm(BaseComm):
    """One comm; belongs to the run that opened it."""

    outputs: Outputs
    kernel = Parent()
    _capture: Capture | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.run_id = self.outputs.origin
        super().__init__(*args, **kwargs)

    def publish_msg(
        self,
        msg_type: str,
        data: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        buffers: Sequence[Any] | None = None,
        **keys: Any,
    ) -> None:
        """Send a message to the front end.

        Raises:
            ValueError: It is too large to travel.
        """
        data = data or {}
        if msg_type == "comm_open" and data.get("state", {}).get("_model_name") == OUTPUT_MODEL:
            self._capture = Capture(self._send_state)
        if self._capture is None or self._is_plain(data, self._capture):
            self._post(KINDS[msg_type], {"data": data, **keys}, metadata, buffers)

    def _is_plain(self, data: dict[str, Any], capture: Capture) -> bool:
        """Turn a beginning or ending `with` of an Output widget into a capture; tell whether it is neither."""
        state = data.get("state", {}) if data.get("method") == "update" else {}
        if "outputs" in state and not capture.is_open:
            capture.load(list(state["outputs"]))
        if set(state) != {"msg_id"}:
            return True
        widget = getattr(self._msg_callback, "__self__", None)
        if state["msg_id"]:
            capture.open(list(getattr(widget, "outputs", ())))
        elif capture.is_open:
            rows = capture.close()
            if widget is not None:
                widget.outputs = tuple(rows)
            self._send_state({"outputs": rows})  # said once more: the trait tells nothing where it does not change
        return False

    def _send_state(self, state: dict[str, Any]) -> None:
        self._post("msg", {"data": {"method": "update", "state": state, "buffer_paths": []}}, None, None)

    def _post(
        self, kind: str, content: dict[str, Any], metadata: dict[str, Any] | None, buffers: Sequence[Any] | None
    ) -> None:
        target_name = content.pop("target_name", "")
        message = pb.Comm(
            kind=kind,
            comm_id=self.comm_id,
            target_name=target_name,
            content_json=json.dumps(content, default=plain),
            metadata_json=json.dumps(metadata, default=plain) if metadata else "",
            buffers=[bytes(buffer) for buffer in buffers or ()],
        )
        size_bytes = message.ByteSize()
        if size_bytes > MESSAGE_LIMIT_BYTES:
            size, most = size_bytes / limits.MIB, MESSAGE_LIMIT_BYTES // limits.MIB
            raise ValueError(
                f"a message of {size:.1f} MiB from a widget cannot travel: at most {most} MiB can\n"
                "hint: show it smaller, or in parts"
            )
        self.outputs.event(comm=message)


class Comms:
    """The comms of the process.

    Args:
        outputs: The way to the front end.
        in_code: Surrounds what runs as a cell's code does, so that its errors are shown.
    """

    def __init__(self, outputs: Outputs, in_code: Callable[[], AbstractContextManager[None]]) -> None:
        Comm.outputs = outputs
        self._manager, self._in_code = CommManager(), in_code

    def install(self) -> None:
        """Become the process's comms; asked again before each run, since importing ipykernel puts its own there."""
        comm.create_comm, comm.get_comm_manager = Comm, lambda: self._manager

    def deliver(self, message: pb.Comm) -> None:
        """Pass a message of the front end's on; one for a comm that is closed is dropped."""
        found = self._manager.comms.get(message.comm_id)
        if isinstance(found, Comm):
            contextvars.copy_context().run(self._deliver, found, message)

    def _deliver(self, found: Comm, message: pb.Comm) -> None:
        RUN.set(found.run_id)
        handle = self._manager.comm_close if message.kind == "close" else self._manager.comm_msg
        content = {"comm_id": message.comm_id, **json.loads(message.content_json or "{}")}
        told = {
            "header": {},
            "parent_header": {},
            "metadata": json.loads(message.metadata_json or "{}"),
            "content": {"data": {}, **content},
            "buffers": [memoryview(buffer) for buffer in message.buffers],
        }
        self.install()
        with self._in_code(), contextlib.suppress(KeyboardInterrupt, SystemExit):
            handle(None, "", told)
        found.outputs.flush()
