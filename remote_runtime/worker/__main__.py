"""`python -m remote_runtime.worker`: arguments --> a zygote that serves until nobody needs it, or a child of one."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from remote_runtime.wire import forking
from remote_runtime.worker import launched, scrub


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m remote_runtime.worker", description="Serve warm workers by fork.")
    parser.add_argument("--socket", default="", help="path of the socket to listen on")
    parser.add_argument("--imports", default="", help="modules to import ahead, such as numpy,pandas,torch")
    parser.add_argument("--ttl-s", type=float, default=120.0, help="seconds to live without engine and worker")
    parser.add_argument("--user", default="remote_runtime.worker.user", help="module whose main() runs user code")
    parser.add_argument("--start", default=forking.AUTO, choices=forking.STARTS, help="how workers start")
    parser.add_argument("--once", action="store_true", help="end with the first worker")
    parser.add_argument("--life", default="", choices=("keeper", "user"), help="be a child that a zygote has spawned")
    parser.add_argument("--fds", default="", help="descriptors that the zygote passes to such a child")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run a zygote, or a child that one has spawned; returns the exit code."""
    asked = _parser().parse_args(arguments)
    if scrub.names(os.environ):
        # Not only removed but never there: /proc/self/environ shows what a program was started with.
        clean = scrub.scrubbed(os.environ)
        os.execve(sys.executable, [sys.executable, *launched.words(), *arguments], clean)
    os.environ["GRPC_VERBOSITY"] = "NONE"  # read by grpc when it is first used; no line of its own in any log
    names = tuple(filter(None, asked.imports.split(",")))
    if asked.life:
        from remote_runtime.worker import spawned

        spawned.live(asked.life, tuple(map(int, asked.fds.split(","))), asked.user, names)
    from remote_runtime.worker.zygote import Settings, Zygote

    return Zygote(Settings(asked.socket, names, asked.ttl_s, asked.user, asked.start, asked.once)).serve()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
