"""A user process as small as can be, that does what its cell says, also what no honest one would: two ends, no end."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
from typing import Any

from remote_runtime.wire import frames
from remote_runtime.wire import messages_pb2 as pb
from tests.sockets import received


class Channel:
    """The socket to the keeper, for the stand-in and for the cells that play with it."""

    def __init__(self, fd: int, tail_fd: int) -> None:
        self.sock, self.tail_fd, self.offset = socket.socket(fileno=fd), tail_fd, 0
        self.run_id = ""

    def say(self, **body: Any) -> None:
        self.sock.sendall(frames.framed(frames.control(pb.FromWorker(**body))))

    def event(self, **body: Any) -> None:
        self.say(event=pb.Event(run_id=self.run_id, **body))

    def text(self, text: str) -> None:
        self.event(seq=self.offset, stream=pb.Stream(text=text))
        self.offset += len(text.encode())

    def tail(self, text: str) -> None:
        raw = text.encode()
        os.pwrite(self.tail_fd, struct.pack("<QIB3x", self.offset, len(raw), 0) + raw, 0)

    def end(self, status: str = "ok", **fields: Any) -> None:
        self.event(end=pb.End(status=status, alive=["x"], **fields))


class UserCode:
    """Whether user code runs: only then SIGINT raises."""

    running = False


def on_interrupt(number: int, frame: object) -> None:
    if UserCode.running:
        raise KeyboardInterrupt


def run(channel: Channel, asked: pb.Run) -> None:
    channel.run_id = asked.run_id
    channel.event(started=pb.Started(pid=os.getpid()))
    namespace = {"channel": channel, "os": os, "pb": pb, "signal": signal, "asked": asked}
    try:
        UserCode.running = True
        exec(asked.source, namespace)
        UserCode.running = False
    except KeyboardInterrupt:
        UserCode.running = False
        return channel.end("interrupted", problem=pb.Problem(type_name="KeyboardInterrupt"))
    except Exception as error:
        UserCode.running = False
        return channel.end("error", problem=pb.Problem(type_name=type(error).__name__, message=str(error)))
    return channel.end() if "silent" not in namespace else None


def answer(channel: Channel, whole: frames.Whole[pb.ToWorker]) -> None:
    message = whole.message
    body = message.WhichOneof("body")
    if body == "run":
        return run(channel, message.run)
    if body == "fetch" and message.fetch.name == "die":
        os._exit(9)
    if body == "fetch":
        return channel.say(request_id=message.request_id, values=pb.Values(held=[pb.Held(name=message.fetch.name)]))
    if body == "put":
        size = whole.bundle.size_bytes if whole.bundle else 0
        return channel.say(request_id=message.request_id, removed=pb.Removed(freed_bytes=size))
    if body == "drop":
        channel.text(f"dropped {list(message.drop.tokens)}")
    return None


def main(channel_fd: int, tail_fd: int) -> None:
    signal.signal(signal.SIGINT, on_interrupt)
    channel = Channel(channel_fd, tail_fd)
    assembler = frames.Assembler(pb.ToWorker)
    channel.sock.sendall(frames.framed(json.dumps({"ready": os.getpid()}).encode()))
    for frame in received(channel.sock):
        if frame[:1] == b"{":
            settings = json.loads(frame)
            os.environ.update(settings["environment"])
            continue
        whole = assembler.feed(frame)
        if whole is not None:
            answer(channel, whole)
