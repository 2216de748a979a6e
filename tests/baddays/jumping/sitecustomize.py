"""Lets the wall clock of every Python process below jump: by as many seconds as the file that `JUMPING_CLOCK` names says.

`time.time` reads the file each time, so a test moves the clock of processes that run: the kernel's, the gateway's, the
zygote's, the keeper's and the user's own. gRPC is left out: it hands the time of `time.time` on to C code, which would
have to jump with it.
"""

from __future__ import annotations

import os
import sys
import time


def jump(path: str, now=time.time, now_ns=time.time_ns) -> None:
    def offset_s() -> float:
        if str(sys._getframe(2).f_globals.get("__name__")).partition(".")[0] == "grpc":
            return 0.0
        try:
            with open(path) as file:
                return float(file.read() or 0)
        except (OSError, ValueError):
            return 0.0

    time.time = lambda: now() + offset_s()
    time.time_ns = lambda: now_ns() + int(offset_s() * 1e9)


if "JUMPING_CLOCK" in os.environ:
    jump(os.environ["JUMPING_CLOCK"])
