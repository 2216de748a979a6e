r"""What admins ask of a runtime: users, tokens, its health. A runtime of this machine need not run for the first two.

    method, request -> gateway -> reply
                   \-> none runs, and the state directory is here: `remote_runtime.gateway.offline` -> the same reply
"""

from __future__ import annotations

import subprocess
import sys

from google.protobuf.message import Message

from kernel_proxy import embedded, statedir
from kernel_proxy.errors import RuntimeUnavailable, from_failure
from kernel_proxy.finding import door_of
from kernel_proxy.settings import Settings
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.methods import GATEWAY

REFUSED = 4
"""Exit code of the offline program when its output is a failure."""

OFFLINE_S = 60.0


def ask(settings: Settings, method: str, request: Message) -> Message:
    """Ask the runtime that the settings name, or work on its files while none runs.

    Args:
        settings: Where it is.
        method: A name of the gateway's table of methods.
        request: Of that method.

    Raises:
        Unauthorized: The token may not.
        WarmcellError: It was refused otherwise, or the runtime cannot be reached.
    """
    gateway = embedded.find(settings.home) if settings.embedded else None
    if settings.embedded and gateway is None:
        return _offline(settings, method, request)
    with door_of(settings) as door:
        return door.call(method, request)


def _offline(settings: Settings, method: str, request: Message) -> Message:
    statedir.prepare(settings.home)
    command = [sys.executable, "-m", "remote_runtime.gateway.offline", str(settings.home), method]
    try:
        done = subprocess.run(
            command, input=request.SerializeToString(), capture_output=True, timeout=OFFLINE_S,
            env=embedded.environment(), cwd=settings.home,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise RuntimeUnavailable(f"{settings.home} was not ready within {OFFLINE_S:g} s", "try again") from None
    if done.returncode == REFUSED:
        raise from_failure(pb.Failure.FromString(done.stdout))
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise RuntimeUnavailable(f"{settings.home} cannot be used: {said[-1] if said else done.returncode}",
                                 "see `warmcell doctor`")
    return GATEWAY[method].reply.FromString(done.stdout)
