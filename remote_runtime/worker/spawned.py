"""The first steps of a child that was spawned, until it stands where a forked one begins.

    zygote's socket --order--> forked.keeper
    imports         ---------> forked.user

What a module prints while it is imported goes to the zygote's log, as it does when the zygote imports it.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from typing import NoReturn

from remote_runtime.wire import forking
from remote_runtime.worker import ahead, forked, tuning


def live(life: str, fds: Sequence[int], module: str, imports: Sequence[str]) -> NoReturn:
    """Be what the zygote asked for, and end with its exit code.

    Args:
        life: "keeper" or "user".
        fds: The zygote's socket; or channel, stdout, stderr and tail.
        module: Its `main` is the user process.
        imports: What a user process imports before it is ready.
    """
    forked.become(lambda: _keeper(*fds) if life == "keeper" else _user(fds, module, imports))


def _keeper(fd: int) -> int:
    zygote = socket.socket(fileno=fd)
    zygote.set_inheritable(False)
    heard = forking.receive(zygote)
    if heard is None:  # the zygote is gone before its child has read a word
        return forking.START_FAILED
    return forked.keeper(tuning.order(heard[0]), zygote)


def _user(fds: Sequence[int], module: str, imports: Sequence[str]) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s user process %(levelname)s %(message)s")
    ahead.bring((*ahead.USER, module), imports)
    return forked.user(module, fds)
