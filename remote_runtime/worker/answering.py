"""The answer of the user process to a request that is no run, on its way to the client that asked.

    message --begin--> the client, its blocks of shared memory handed on
            --keeps its frames--> once they are whole, as data frames: where a block cannot reach the client
    data frame --go_on--> the same;  --settle--> whether all of it has come
"""

from __future__ import annotations

from remote_runtime.wire import frames
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from remote_runtime.worker.agenda import Ask
from remote_runtime.worker.child import Child
from remote_runtime.worker.endings import Death
from remote_runtime.worker.handing import Delivery
from remote_runtime.worker.ledger import Ledger


def begin(ledger: Ledger, child: Child, ask: Ask, message: pb.FromWorker) -> None:
    """Take the answer itself.

    Args:
        ledger: The session's account of shared memory.
        child: Who answers.
        ask: Whom.
        message: The answer; data frames may follow.

    Raises:
        Failed: code "protocol", for blocks that are not there.
    """
    ask.rest_bytes = frames.awaits_data(message)
    header = frames.header_of(message)
    if header is not None:
        ledger.lend(child, header, ask)
        if header.blocks and not ledger.hand(header, ask.client):
            ask.kept.append(frames.control(message))
            return
        ledger.release(ask)
    ask.client.reply(message)


def go_on(ask: Ask, frame: bytes) -> None:
    """Take a data frame of the answer's."""
    if ask.kept:
        ask.kept.append(frame)
    else:
        ask.client.pass_on(frame)
    ask.rest_bytes -= frames.piece(frame).content.nbytes


def settle(ledger: Ledger, child: Child, ask: Ask) -> bool:
    """Tell whether all of the answer has come; until then the user process waits for a client that is slow."""
    if ask.rest_bytes > 0:
        if ask.client.full:
            child.pause(True)
            ask.client.room = lambda: child.pause(False)
        return False
    child.pause(False)
    if ask.kept:
        ask.client.deliver(Delivery(ledger, ask.kept, ask.client))
        ledger.release(ask)
    return True


def fail(ask: Ask, death: Death) -> None:
    """Tell a client that the user process died before it had answered."""
    words = f"the user process {death.words} before it had answered"
    ask.client.refuse(ask.message.request_id, Failed("worker-died", words, "run the cells again that made its names"))
    if ask.rest_bytes > 0:
        ask.client.leave()  # its stream stands in the middle of a bundle that will not go on
