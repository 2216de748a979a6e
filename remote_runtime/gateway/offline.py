"""Users and tokens of a runtime that does not run: `python -m remote_runtime.gateway.offline STATE METHOD`.

a request's bytes on stdin -> the verb that a gateway would serve -> the reply's bytes on stdout, exit code 0
                                                                  -> a pb.Failure's bytes, exit code 4
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from google.protobuf.message import Message

from remote_runtime.gateway import tokens
from remote_runtime.gateway.accounts import Accounts
from remote_runtime.gateway.records import StateDirectory
from remote_runtime.gateway.store import Store
from remote_runtime.gateway.users import Users, os_user
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.methods import GATEWAY

REFUSED = 4
VERBS = ("AddToken", "ListTokens", "Revoke")


async def answer(state: Path, name: str, content: bytes) -> Message:
    """Do one verb on a state directory that no gateway serves.

    Raises:
        Failed: A gateway serves it, it cannot be read or written, or the verb refuses.
    """
    if name not in VERBS:
        raise Failed("unavailable", f"{name} needs a runtime that runs", "start it with `warmcell up`")
    directory = StateDirectory(state)
    directory.lock()
    store = Store(directory.store)
    store.open()
    try:
        users = Users(tokens.own(directory.token(), os_user()), store)
        await users.load()
        return await getattr(Accounts(users), name.lower())(GATEWAY[name].request.FromString(content))
    finally:
        store.close()


def main(arguments: Sequence[str]) -> int:
    """Run one verb.

    Args:
        arguments: The state directory and the verb.

    Returns:
        The exit code.
    """
    state, name = arguments
    try:
        reply = asyncio.run(answer(Path(state), name, sys.stdin.buffer.read()))
    except Failed as failure:
        wire = pb.Failure(code=failure.code, message=failure.message, hint=failure.hint, detail=failure.detail)
        sys.stdout.buffer.write(wire.SerializeToString())
        return REFUSED
    sys.stdout.buffer.write(reply.SerializeToString())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
