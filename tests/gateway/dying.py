"""A gateway that kills itself with SIGKILL at one step of a lease, named in the variable DIES.

DIES -> STEPS -> the method before which, or behind which, the process dies
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from remote_runtime.gateway.__main__ import main
from remote_runtime.gateway.books import Books
from remote_runtime.gateway.relay import Keepers
from remote_runtime.gateway.sessions import Sessions
from remote_runtime.pool.pool import Pool

Applies = Callable[..., bool]


def always(*_: Any) -> bool:
    return True


def named(wanted: str) -> Applies:
    return lambda _self, _peer, name, *_: name == wanted


# step -> class, method, whether behind it, and of which calls
STEPS: dict[str, tuple[type, str, bool, Applies]] = {
    "devices chosen": (Sessions, "begin", False, always),
    "worker taken": (Pool, "take", True, always),
    "written down": (Books, "begin", True, always),
    "claimed": (Keepers, "call", True, named("Claim")),
    "counted": (Books, "claimed", True, always),
    "about to release": (Sessions, "release", False, always),
    "keeper stopped": (Keepers, "call", True, named("Stop")),
    "worker gone": (Books, "end", False, always),
    "end written": (Books, "end", True, always),
}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(step: str) -> None:
    owner, method, is_behind, applies = STEPS[step]
    original = getattr(owner, method)

    def plain(*arguments: Any) -> Any:
        if not is_behind:
            die()
        result = original(*arguments)
        arguments[0]._store.close()  # what was asked for is written: the death comes behind it
        die()
        return result

    async def waiting(*arguments: Any) -> Any:
        if applies(*arguments) and not is_behind:
            die()
        try:
            return await original(*arguments)
        finally:  # a keeper that was asked to stop may be gone before it answers
            if applies(*arguments):
                die()

    is_plain = owner is Books and method != "begin"
    setattr(owner, method, plain if is_plain else waiting)


if __name__ == "__main__":
    arm(os.environ["DIES"])
    sys.exit(main(sys.argv[1:]))
