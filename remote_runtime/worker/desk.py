"""What attached clients ask, and where it goes: to the runner, to the run logs, to the clerk, or answered at once.

    frame --> request --table--> Runner.submit | interrupt, Runs, a reply
    comm message, input --------> the user process, past the queue: a cell may be waiting for it
    piece of an upload --checked--> the user process, once its turn has come

Whatever is wrong with a frame becomes a failure for the client that sent it; the session lives on.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

from remote_runtime.wire import frames
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.lane import fds_of
from remote_runtime.worker.agenda import Ask
from remote_runtime.worker.clerk import Clerk
from remote_runtime.worker.client import Client
from remote_runtime.worker.run import Run
from remote_runtime.worker.runner import Runner
from remote_runtime.worker.runs import Runs
from remote_runtime.worker.upload import Upload

log = logging.getLogger(__name__)

_AGAIN = "run the cell again"
_LENT_COUNT = 16
"""Runs whose variables are kept, should they be sent again."""


class Desk:
    """Takes the frames of all clients.

    Args:
        runner: Conducts the user process.
        runs: The session's runs.
        run_infos: Describes them.
    """

    def __init__(self, runner: Runner, runs: Runs, run_infos: Callable[[], list[pb.RunInfo]]) -> None:
        self._runner, self._runs, self._run_infos = runner, runs, run_infos
        self._ledger = runner.ledger
        self.clients: set[Client] = set()
        self.clerk = Clerk()
        self.used_at = 0.0
        self._lent: OrderedDict[str, dict[str, str]] = OrderedDict()

    def lend(self, run_id: str, env: Mapping[str, str]) -> None:
        """Keep variables for a run that is about to come, perhaps twice."""
        self._lent[run_id] = dict(env)
        while len(self._lent) > _LENT_COUNT:
            self._lent.popitem(last=False)

    def broadcast(self, message: pb.FromWorker) -> None:
        """Send a message to every client."""
        for client in list(self.clients):
            client.reply(message)

    def leave(self, client: Client) -> None:
        """Forget a client; its runs go on."""
        if client not in self.clients:
            return
        self.clients.discard(client)
        for upload in client.uploads.values():
            if not upload.whole and not upload.broken:
                upload.lost(Failed("protocol", "the client left in the middle of an upload", _AGAIN))
        client.close()
        self._ledger.left(client)

    def take(self, client: Client, frame: bytes) -> None:
        """Take one frame of a client; whatever is wrong with it becomes a failure for that client."""
        request_id = 0
        try:
            if frames.is_data(frame):
                return self._take_piece(client, frames.piece(frame))
            message = frames.parse(pb.ToWorker, frame)
            request_id = message.request_id
            body = message.WhichOneof("body") or ""
            if body == "segment":
                return self._ledger.segment(client, message.segment, next(iter(fds_of(frame)), None))
            if body not in _REQUESTS:
                raise Failed("protocol", f"the worker knows no request {body!r}", "use the same warmcell on both ends")
            _REQUESTS[body](self, client, message)
        except Failed as failed:
            client.refuse(request_id, failed)
        except Exception as error:  # a defect here must cost one request, not the session and all its runs
            log.exception("a request of client %s failed", client.name)
            client.refuse(request_id, Failed("internal", f"the worker failed: {error!r}", "look into its log"))
        return None

    def full(self, client: Client) -> bool:
        """Tell whether a client's uploads are more than the worker can hold now; then `room` waits."""
        if not client.uploads:
            return False
        child = self._runner.users.child
        held = any(upload.full and not upload.broken for upload in client.uploads.values())
        return held or (child is not None and child.outlet.full)

    async def room(self, client: Client) -> None:
        """Wait while a client's uploads are more than the worker can hold."""
        for upload in [u for u in client.uploads.values() if not u.broken]:
            if upload.full:
                await upload.room()
        child = self._runner.users.child
        if child is not None and child.outlet.full and client.uploads:
            await child.outlet.room()
        await self.clerk.room()

    @property
    def crowded(self) -> bool:
        """Whether every client shall be read more slowly: more file requests wait than should."""
        return self.clerk.full

    def _take_piece(self, client: Client, piece: frames.Piece) -> None:
        upload = client.uploads.get(piece.bundle_id)
        if upload is None:
            raise Failed("protocol", f"a data frame belongs to bundle {piece.bundle_id}, which is not arriving", _AGAIN)
        try:
            upload.take(piece)
        except Failed as failed:
            upload.lost(failed)
            client.refuse(upload.request_id, failed)
        if upload.whole:
            del client.uploads[piece.bundle_id]

    def _announced(self, client: Client, message: pb.ToWorker) -> Upload | None:
        """Expect the data frames that a request announces, and hold the shared memory that it names."""
        size_bytes = frames.awaits_data(message)
        header = frames.header_of(message)
        if header is None or not (size_bytes or header.blocks):
            return None
        before = client.uploads.get(header.bundle_id)
        if before is not None and not before.broken:
            raise Failed("protocol", f"bundle {header.bundle_id} is announced twice", _AGAIN)
        upload = Upload(message.request_id, size_bytes)
        self._ledger.lend(client, header, upload)
        upload.let_go = lambda: self._ledger.release(upload)
        if size_bytes:
            client.uploads[header.bundle_id] = upload
        return upload

    def _run(self, client: Client, message: pb.ToWorker) -> None:
        upload = self._announced(client, message)
        try:
            run = self._known(message.run.run_id, upload is not None) or self._begin(client, message, upload)
        except Failed:
            if upload is not None:
                upload.give_up()
            raise
        if upload is not None and run.upload is not upload:
            upload.give_up()
        if not client.follows(run):
            client.follow(run, 0)

    def _known(self, run_id: str, sent_again: bool) -> Run | None:
        """Return a run that was asked before, but not one whose values never arrived and now come again."""
        if not run_id:
            raise Failed("protocol", "a run has no id", _AGAIN)
        run = self._runs.find(run_id)
        if run is None or run.upload is None or run.upload.whole or not sent_again:
            return run
        self._runner.withdraw_upload(run.upload)
        return self._runs.find(run_id)

    def _begin(self, client: Client, message: pb.ToWorker, upload: Upload | None) -> Run:
        for name, value in self._lent.get(message.run.run_id, {}).items():
            if name not in message.run.env:  # what the run itself says goes first
                message.run.env[name] = value
        run = self._runs.add(message, time.time())
        run.upload, run.owner = upload, client
        if upload is not None:
            upload.lost = lambda failed: self._runner.withdraw_upload(upload)
        try:
            self._runner.submit(run)
        except Failed:
            self._runs.unask(run)
            raise
        return run

    def _ask(self, client: Client, message: pb.ToWorker) -> None:
        upload = self._announced(client, message)
        try:
            self._runner.submit(Ask(client, message, upload))
        except Failed:
            if upload is not None:
                upload.give_up()
            raise
        if upload is not None:
            upload.lost = lambda failed: self._runner.withdraw_upload(upload)

    def _drop(self, client: Client, message: pb.ToWorker) -> None:
        message.request_id = 0  # nobody waits for an answer, and none may be taken for another's
        self._runner.submit(Ask(client, message))

    def _interrupt(self, client: Client, message: pb.ToWorker) -> None:
        asked = message.interrupt
        if not asked.run_id:
            return self._runner.interrupt_ask(asked.kill)
        return self._runner.interrupt(self._runs.get(asked.run_id), asked.kill, asked.why or "user")

    def _ack(self, client: Client, message: pb.ToWorker) -> None:
        run = self._runs.known(message.ack.run_id)
        if run is not None:
            run.log.ack(message.ack.seq)

    def _follow(self, client: Client, message: pb.ToWorker) -> None:
        asked = message.follow
        client.follow(self._runs.followed(asked.run_id, asked.after_seq), asked.after_seq)

    def _list_runs(self, client: Client, message: pb.ToWorker) -> None:
        table = pb.RunTable(runs=self._run_infos())
        client.reply(pb.FromWorker(request_id=message.request_id, runs=table))

    def _files(self, client: Client, message: pb.ToWorker) -> None:
        self.clerk.take(client, message)

    def _hello(self, client: Client, message: pb.ToWorker) -> None:
        raise Failed("protocol", "a second hello on one stream", _AGAIN)

    def _input(self, client: Client, message: pb.ToWorker) -> None:
        run = self._runs.get(message.input.run_id)
        if run.log.ended:
            raise Failed("not-found", f"run {run.run_id} has ended and waits for no input", _AGAIN)
        if run.owner is not None and run.owner.name != client.name:
            text = f"run {run.run_id} asks the notebook that started it"
            raise Failed("not-found", text, "answer there, or interrupt the run")
        self._tell(message)
        client.reply(pb.FromWorker(request_id=message.request_id, done=pb.Done()))

    def _freed(self, client: Client, message: pb.ToWorker) -> None:
        self._ledger.freed(client, message.freed)

    def _comm(self, client: Client, message: pb.ToWorker) -> None:
        self.used_at = time.monotonic()
        self._tell(message)

    def _tell(self, message: pb.ToWorker) -> None:
        """Send a message to the user process at once, past all that is queued."""
        child = self._runner.users.child
        if child is None:
            raise Failed("worker-died", "the user process is being replaced", "run the cell again")
        child.write(frames.control(message))


_REQUESTS: Mapping[str, Callable[[Desk, Client, pb.ToWorker], None]] = {
    "hello": Desk._hello,
    "run": Desk._run,
    "interrupt": Desk._interrupt,
    "ack": Desk._ack,
    "follow": Desk._follow,
    "fetch": Desk._ask,
    "put": Desk._ask,
    "remove": Desk._ask,
    "list_vars": Desk._ask,
    "free": Desk._ask,
    "environment": Desk._ask,
    "list_runs": Desk._list_runs,
    "drop": Desk._drop,
    "sources": Desk._ask,
    "input": Desk._input,
    "files": Desk._files,
    "comm": Desk._comm,
    "freed": Desk._freed,
}
