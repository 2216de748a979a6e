"""The user process: a loop that takes requests from its keeper and runs the user's code.

    channel -> frames -> whole messages -> a task each, one after the other -> Executor | Requests -> channel

The loop is the user's event loop too, as in a kernel: tasks that a cell starts go on while later cells wait,
and between cells. A cell that computes stops the loop until it is done; one that asks for input reads the channel
itself.

    comm message -> Comms.deliver, as a callback of the loop;  answer -> Stdin.answer, at once
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import socket
import sys
import threading
from collections import deque
from typing import Any, NoReturn

from remote_runtime.wire import frames, memory
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.arena import Arena
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.lane import LaneReader, fds_of
from remote_runtime.wire.sharing import Sharing
from remote_runtime.worker import origin
from remote_runtime.worker.comms import Comms
from remote_runtime.worker.execute import Executor, Parcel, Session
from remote_runtime.worker.interrupts import Interrupts
from remote_runtime.worker.mirrors import Mirrors
from remote_runtime.worker.namespace import Names
from remote_runtime.worker.outputs import Outputs, Tail
from remote_runtime.worker.requests import Requests
from remote_runtime.worker.returns import Registry
from remote_runtime.worker.shell import Shell
from remote_runtime.worker.sources import Sources
from remote_runtime.worker.stdin import Stdin
from remote_runtime.worker.store import Store
from remote_runtime.worker.streams import Streams

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
        self._reader = LaneReader()
        self._sharing = outputs.sharing = Sharing(pb.FromWorker, outputs.send_beside, Arena(limit_bytes=0))
        self._assembler = frames.Assembler(pb.ToWorker, self._sharing.view)
        self._store = Store(self._sharing.reader)
        self._waiting: deque[tuple[pb.ToWorker, Parcel]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._receiving = threading.RLock()

    def prepare(self) -> None:
        """Build the shell and all that a first run would have to wait for."""
        os.environ.setdefault("MPLBACKEND", FIGURES)
        self._streams = Streams(self._outputs)
        self._streams.install()
        origin.follow_threads()
        shell = Shell.build(self._outputs)
        self._comms = Comms(self._outputs, shell.in_code)
        self._comms.install()
        self._stdin = Stdin(self._outputs, self._sock.fileno(), self._receive_asking)
        self._stdin.install()
        names = Names(shell.user_ns, shell.user_ns_hidden)
        self._sources = Sources(shell.user_ns)
        session = Session(
            shell, self._outputs, self._interrupts, names, Registry(), Mirrors(names), self._sources, self._store
        )
        shell.on_code = self._on_code  # type: ignore[method-assign]
        self._memory = session.memory
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
        with self._interrupts, self._receiving:  # a press, or another thread, would part what is read from its frames
            self._receive()

    def _receive_asking(self) -> None:
        self._on_readable()
        if self._closed:  # the keeper is gone, and with it everyone who could answer
            os._exit(0)

    def _receive(self) -> None:
        if self._outputs.forked:  # a child that waits in the parent's loop would take the parent's requests
            os._exit(0)
        try:
            for frame in self._reader.receive(self._sock):
                self._take(frame)
        except BlockingIOError:
            return
        except (OSError, EOFError):
            self._closed = True
            self._loop.call_soon_threadsafe(self._loop.stop)
        except Failed as error:  # both ends are ours: after a damaged frame nothing that follows can be trusted
            os.write(2, f"{error}\n".encode())
            os._exit(1)
        if threading.current_thread() is threading.main_thread():
            self._start_next()
        else:
            self._loop.call_soon_threadsafe(self._start_next)

    def _take(self, frame: bytes) -> None:
        if frame[:1] == b"{":
            self._configure(json.loads(frame))
            return
        whole = self._assembler.feed(frame)
        body = whole.message.WhichOneof("body") if whole is not None else None
        if body in ("segment", "freed"):
            self._sharing.take(whole.message, next(iter(fds_of(frame)), None))
        elif body == "comm":
            self._loop.call_soon_threadsafe(self._comms.deliver, whole.message.comm)
        elif body == "input":
            self._stdin.answer(whole.message.input)
        elif whole is not None:
            self._waiting.append((whole.message, [] if whole.bundle is None else [whole.bundle]))

    def _configure(self, settings: dict[str, Any]) -> None:
        """Become a session's: its directory, its environment, its devices."""
        os.environ.update(settings.get("environment") or {})
        directory = settings.get("directory")
        if directory:
            os.makedirs(directory, exist_ok=True)
            os.chdir(directory)
            self._sources.settle(directory)
        self._store.limit_bytes = int(settings.get("cache_bytes", 0))
        devices = [
            pb.Device(id=row.get("id", ""), model=row.get("model", ""), simulated=bool(row.get("simulated")))
            for row in settings.get("devices") or ()
        ]
        self._memory.set(devices, settings.get("device_memory_bytes"))

    def _share(self, limit_bytes: int) -> None:
        """Use shared memory for the answer to one request, where whoever asks can map it."""
        self._outputs.shares = limit_bytes > 0 and memory.available()
        if self._outputs.shares:
            first, self._sharing.arena.limit_bytes = not self._sharing.arena.limit_bytes, limit_bytes
            if first:
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
            self._share(message.share_bytes)
            if not self._restore(message, parcel):
                return
            if message.WhichOneof("body") == "run":
                self._streams.repair()
                self._comms.install()
                self._stdin.begin(message.run)
                await self._executor.run(message.run, parcel)
            else:
                self._requests.answer(message, parcel)
        except BaseException as error:  # noqa: BLE001  a defect, or a last press: the run still gets its end
            self._interrupts.disarm()
            self._executor.abandon(error)
        finally:
            self._tell_stock()
            self._stdin.end()
            self._interrupts.end()

    def _restore(self, message: pb.ToWorker, parcel: Parcel) -> bool:
        """Add to a bundle what need not travel; refuse the request where that is not here."""
        header, failed = frames.header_of(message) if parcel else None, None
        if header is not None and header.contents:
            try:
                parcel.append(self._store.restored(parcel.pop(), header.contents))
            except Failed as failure:
                failed = pb.Failure(code=failure.code, message=failure.message, hint=failure.hint)
            self._tell_stock()
        if failed is not None:
            self._outputs.send(pb.FromWorker(request_id=message.request_id, failure=failed))
        return failed is None

    def _tell_stock(self) -> None:
        stock = self._store.news()
        if stock is not None:
            self._outputs.send(pb.FromWorker(stock=stock))
