"""The first steps of a zygote's child, until it is a keeper or a user process.

fork, or `spawned` --> close what is not ours, default signals, own session --> service.main | user.main --> os._exit
"""

from __future__ import annotations

import importlib
import logging
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from remote_runtime.wire import forking
from remote_runtime.worker import scrub
from remote_runtime.worker.tuning import Order

OOM_SCORE = 500
"""The system, short of memory, kills user code before anything that keeps its session."""


def become(life: Callable[[], int]) -> NoReturn:
    """Live a life and end the process with its exit code; never returns into the zygote."""
    code = forking.START_FAILED
    try:
        code = life()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:  # noqa: BLE001  nothing may climb into the zygote's loop, whose copy lies below on the stack
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)


def keeper(order: Order, zygote: socket.socket) -> int:
    """Be a keeper.

    Args:
        order: What the engine asked for.
        zygote: Connected to it.
    """
    os.setsid()
    _place(_devnull(), 0)
    log = _log_file(order.log)
    _place(os.dup(log), 1)
    _place(log, 2)
    _close_all_but((0, 1, 2, zygote.fileno()))
    _default_signals()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.raiseExceptions = False  # a full disk loses log lines and nothing else
    from remote_runtime.worker import service  # not above: a spawned user process passes here, and needs no gRPC

    return service.main(order, zygote)


def user(module: str, fds: Sequence[int]) -> int:
    """Be a user process.

    Args:
        module: Its `main(channel_fd, tail_fd)` does the rest.
        fds: Channel, stdout, stderr, tail.
    """
    os.setsid()
    channel, out, err, tail = fds
    _place(_devnull(), 0)
    _place(out, 1)
    _place(err, 2)
    _close_all_but((0, 1, 2, channel, tail))
    _default_signals()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    for name in (*scrub.names(os.environ), *scrub.OWN):
        os.environ.pop(name, None)
    _reseed()
    _forget_logging()
    importlib.import_module(module).main(channel, tail)
    return 0


def _devnull() -> int:
    return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)


def _log_file(path: str) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return _devnull()


def _place(fd: int, at: int) -> None:
    if fd != at:
        os.dup2(fd, at, inheritable=True)
        os.close(fd)


def _close_all_but(kept: Sequence[int]) -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            with suppress(OSError):
                os.close(int(name))


def _default_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # until whoever lives here knows what to do with it


def _forget_logging() -> None:
    """Take the zygote's own handlers away: user code finds logging as a fresh interpreter has it."""
    logging.root.handlers.clear()
    logging.root.setLevel(logging.WARNING)


def _reseed() -> None:
    """Give numpy's global generator its own seed; every fork would draw the same numbers otherwise."""
    random = sys.modules.get("numpy.random")
    if random is not None:
        random.seed()
