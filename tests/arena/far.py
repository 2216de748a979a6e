"""The other process: executes what it is sent and returns `back`, if the code binds it."""

from __future__ import annotations

import socket
import sys

from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import payload
from remote_runtime.wire.arena import Arena
from tests.arena.link import Link


def main(fd: int) -> None:
    link = Link(socket.socket(fileno=fd), pb.FromWorker, pb.ToWorker, Arena())
    namespace: dict[str, object] = {"link": link, "__name__": "far"}
    while (whole := link.receive()) is not None:
        if whole.bundle is not None:
            namespace.update(payload.unpack(whole.bundle, namespace))
        source = whole.message.run.source
        del whole
        namespace["said"] = ""
        exec(source, namespace)  # noqa: S102
        reply = pb.FromWorker(values=pb.Values(held=[pb.Held(preview=str(namespace["said"]))]))
        back = namespace.pop("back", None)
        bundle = None if back is None else payload.pack({"back": back}, namespace=namespace).bundle
        del back
        link.send(reply, bundle)


if __name__ == "__main__":
    main(int(sys.argv[1]))
