"""`python -m remote_runtime.worker`: arguments --> a zygote that serves until nobody needs it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from remote_runtime.worker import scrub


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m remote_runtime.worker", description="Serve warm workers by fork.")
    parser.add_argument("--socket", required=True, help="path of the socket to listen on")
    parser.add_argument("--imports", default="", help="modules to import ahead, such as numpy,pandas,torch")
    parser.add_argument("--ttl-s", type=float, default=120.0, help="seconds to live without engine and worker")
    parser.add_argument("--user", default="remote_runtime.worker.user", help="module whose main() runs user code")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run a zygote; returns its exit code."""
    asked = _parser().parse_args(arguments)
    if scrub.names(os.environ):
        # Not only removed but never there: /proc/self/environ shows what a program was started with.
        clean = scrub.scrubbed(os.environ)
        os.execve(sys.executable, [sys.executable, "-m", "remote_runtime.worker", *arguments], clean)
    os.environ["GRPC_VERBOSITY"] = "NONE"  # read by grpc when it is first used; no line of its own in any log
    from remote_runtime.worker.zygote import Settings, Zygote

    names = tuple(filter(None, asked.imports.split(",")))
    return Zygote(Settings(asked.socket, names, asked.ttl_s, asked.user)).serve()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
