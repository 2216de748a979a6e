"""Takes requests about files off the keeper's loop, which must not wait for a disk.

    desk -> quick thread: names, pieces, in the order in which they came  -> reply to the client
         -> slow thread: whatever may read a file from end to end         -^

One thread each: the pieces of an upload stay in order, and a large digest delays no piece.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from remote_runtime.wire import limits
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from remote_runtime.worker.client import Client
from remote_runtime.worker.files import Files

WAITING_BYTES = 64 * limits.MIB
"""Requests beyond this, all clients together, stop the streams they come from."""

log = logging.getLogger(__name__)


class Clerk:
    """Answers file requests of all clients."""

    def __init__(self) -> None:
        self._files: Files | None = None
        self._waiting_bytes = 0
        self._moved = asyncio.Event()
        self._quick = ThreadPoolExecutor(1, "files")
        self._slow = ThreadPoolExecutor(1, "digests")

    def serve(self, directory: str, standing: Callable[[], str], places: Iterable[pb.Mount] = ()) -> None:
        """Begin to answer for a directory; see `Files`."""
        also = {place.source: place.writable for place in places}
        self._files = Files(directory, standing, also) if directory else None

    @property
    def full(self) -> bool:
        """Whether more waits than should."""
        return self._waiting_bytes > WAITING_BYTES

    async def room(self) -> None:
        """Wait while more waits than should."""
        while self.full:
            self._moved.clear()
            await self._moved.wait()

    def take(self, client: Client, message: pb.ToWorker) -> None:
        """Answer a request later.

        Raises:
            Failed: code "files", for a session without a directory.
        """
        if self._files is None:
            raise Failed("files", "this session has no working directory", "open it through its gateway")
        size_bytes = message.ByteSize()
        self._waiting_bytes += size_bytes
        pool = self._slow if _is_slow(message.files) else self._quick
        work = asyncio.get_running_loop().run_in_executor(pool, _reply, self._files, message.files)
        work.add_done_callback(lambda done: self._done(client, message.request_id, size_bytes, done))

    def close(self) -> None:
        """Break off what is read and answer nothing more."""
        if self._files is not None:
            self._files.digests.closed = True
        for pool in (self._quick, self._slow):
            pool.shutdown(wait=False, cancel_futures=True)

    def _done(self, client: Client, request_id: int, size_bytes: int, done: asyncio.Future[pb.FromWorker]) -> None:
        self._waiting_bytes -= size_bytes
        self._moved.set()
        if not done.cancelled():
            answer = done.result()
            answer.request_id = request_id
            client.reply(answer)


def _reply(files: Files, request: pb.FileRequest) -> pb.FromWorker:
    try:
        return pb.FromWorker(files=files.answer(request))
    except Failed as failed:
        return pb.FromWorker(failure=pb.Failure(code=failed.code, message=failed.message, hint=failed.hint))
    except Exception as error:  # a defect here must cost one request, and its client must hear of it
        log.exception("a file request failed")
        return pb.FromWorker(failure=pb.Failure(code="internal", message=f"the worker failed: {error!r}"))


def _is_slow(request: pb.FileRequest) -> bool:
    body = request.WhichOneof("body")
    return (body == "stat" and request.stat.digest) or (body == "finish" and not request.finish.whole)
