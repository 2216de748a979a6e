"""The user process: a loop that takes requests from its keeper and runs the user's code.

    channel -> frames -> whole messages -> a task each, one after the other -> Executor | Requests -> channel

The loop is the user's event loop too, as in a kernel: tasks that a cell starts go on while later cells wait,
and between cells. A cell that computes stops the loop until it is done.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import socket
import sys
from collections import deque
from typing import Any, NoReturn

from remote_runtime.wire import frames, memory
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.arena import Arena
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.sharing import Sharing
from remote_runtime.worker.execute import Executor, Parcel, Session
from remote_runtime.worker.interrupts import Interrupts
from remote_runtime.worker.namespace import Names
from remote_runtime.worker.outputs import Outputs, Tail
from remote_runtime.worker.requests import Requests
from remote_runtime.worker.returns import Registry
from remote_runtime.worker.shell import Shell
from remote_runtime.worker.streams import Streams

RECEIVE_BYTES = 1 << 20
_FDS_MOST = 8
_FLAGS = socket.MSG_DONTWAIT | getattr(socket, "MSG_CMSG_CLOEXEC", 0)
FIGURES = "module://matplotlib_inline.backend_inline"


def main(channel_fd: int, tail_fd: int) -> NoReturn:
    """Serve a keeper until it closes the channel.

    Args:
        channel_fd: The stream socket to the keeper.
        tail_fd: A memfd for text on its way.
    """
    for fd in (channel_fd, tail_fd):
        os.set_inheritable(fd, False)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    interrupts = Interrupts(loop)
    sock = socket.socket(fileno=channel_fd)
    outputs = Outputs(sock, Tail(tail_fd), interrupts)
    process = UserProcess(sock, outputs, interrupts, loop)
    process.prepare()
    outputs.send_raw(json.dumps({"ready": os.getpid()}).encode())
    process.serve()


class UserProcess:
    """The loop.

    Args:
        sock: The channel.
        outputs: The way back.
        interrupts: Lets Ctrl-C through while code runs.
        loop: The event loop, the user's too.
    """

    def __init__(
        self, sock: socket.socket, outputs: Outputs, interrupts: Interrupts, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._sock, self._outputs, self._interrupts, self._loop = sock, outputs, interrupts, loop
        self._splitter = frames.Splitter()
        self._sharing = outputs.sharing = Sharing(pb.FromWorker, outputs.send_beside, Arena(limit_bytes=0))
        self._assembler = frames.Assembler(pb.ToWorker, self._sharing.view)
        self._fds: deque[int] = deque()
        self._waiting: deque[tuple[pb.ToWorker, Parcel]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def prepare(self) -> None:
        """Build the shell and all that a first run would have to wait for."""
        os.environ.setdefault("MPLBACKEND", FIGURES)
        self._streams = Streams(self._outputs)
        self._streams.install()
        shell = Shell.build(self._outputs)
        names = Names(shell.user_ns, shell.user_ns_hidden)
        session = Session(shell, self._outputs, self._interrupts, names, Registry())
        shell.on_code = self._on_code  # type: ignore[method-assign]
        self._executor, self._requests = Executor(session), Requests(session)
        os.register_at_fork(before=self._outputs.flush, after_in_child=self._become_child)
        self._loop.run_until_complete(shell.run_source("0;", shell.plain_source("0;")))
        sys.argv = [""]
        if sys.path[:1] != [""]:
            sys.path.insert(0, "")

    def serve(self) -> NoReturn:
        """Answer until the keeper closes the channel, then leave."""
        self._loop.add_reader(self._sock.fileno(), self._on_readable)
        while not self._closed:
            try:
                self._loop.run_forever()
            except (KeyboardInterrupt, SystemExit):  # from a task of the user's; the loop goes on without it
                continue
        atexit._run_exitfuncs()
        os._exit(0)

    def _become_child(self) -> None:
        self._outputs.become_child()
        self._interrupts.become_child()

    def _on_code(self, is_async: bool) -> None:
        self._interrupts.sync = not is_async

    def _on_readable(self) -> None:
        if self._outputs.forked:  # a child that waits in the parent's loop would take the parent's requests
            os._exit(0)
        try:
            received, fds, _, _ = socket.recv_fds(self._sock, RECEIVE_BYTES, _FDS_MOST, _FLAGS)
            self._fds.extend(fds)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self._closed = True
            self._loop.stop()
        try:
            for frame in self._splitter.feed(received):
                self._take(frame)
        except (
            Failed
        ) as error:  # both ends are ours: after a damaged frame nothing that follows can be trusted
            os.write(2, f"{error}\n".encode())
            os._exit(1)
        self._start_next()

    def _take(self, frame: bytes) -> None:
        if frame[:1] == b"{":
            self._configure(json.loads(frame))
            return
        whole = self._assembler.feed(frame)
        if whole is None:
            return
        beside = self._fds.popleft() if whole.message.segment.size_bytes and self._fds else None
        if not self._sharing.take(whole.message, beside):
            self._waiting.append((whole.message, [] if whole.bundle is None else [whole.bundle]))

    def _configure(self, settings: dict[str, Any]) -> None:
        """Become a session's: its directory, its environment, its devices."""
        os.environ.update(settings.get("environment") or {})
        self._share(int(settings.get("arena_bytes") or 0))
        directory = settings.get("directory")
        if directory:
            os.makedirs(directory, exist_ok=True)
            os.chdir(directory)
        self._requests.devices = [
            pb.Device(id=row.get("id", ""), model=row.get("model", ""), simulated=bool(row.get("simulated")))
            for row in settings.get("devices") or ()
        ]

    def _share(self, limit_bytes: int) -> None:
        """Use shared memory for results, where the keeper takes its descriptors."""
        if limit_bytes and memory.available():
            self._sharing.arena.limit_bytes = limit_bytes
            self._sharing.start()

    def _start_next(self) -> None:
        if self._task is None and self._waiting:
            self._task = self._loop.create_task(self._handle(*self._waiting.popleft()))
            self._task.add_done_callback(self._on_done)

    def _on_done(self, _: asyncio.Task[None]) -> None:
        self._task = None
        self._start_next()

    async def _handle(self, message: pb.ToWorker, parcel: Parcel) -> None:
        try:
            self._interrupts.begin()
            if message.WhichOneof("body") == "run":
                self._streams.repair()
                await self._executor.run(message.run, parcel)
            else:
                self._requests.answer(message, parcel)
        except BaseException as error:  # noqa: BLE001  a defect, or a last press: the run still gets its end
            self._interrupts.disarm()
            self._executor.abandon(error)
        finally:
            self._interrupts.end()
