"""The floors: what a bare gRPC stream, a bare memory copy and a bare hash take on this machine."""

from __future__ import annotations

import multiprocessing
import queue
import tempfile
from concurrent import futures
from pathlib import Path

import grpc
import xxhash

from benchmarks.timing import Spread, once_s, repeat, spread

CHUNK_BYTES = 1 << 20
END = b"end"
_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def _serve(address: str, ports) -> None:
    def echo(requests, context):
        yield from requests

    def take(requests, context):
        yield from (message for message in requests if message == END)

    methods = {
        "Echo": grpc.stream_stream_rpc_method_handler(echo),
        "Take": grpc.stream_stream_rpc_method_handler(take),
    }
    handler = grpc.method_handlers_generic_handler("floor.Floor", methods)
    server = grpc.server(futures.ThreadPoolExecutor(4), options=_OPTIONS)
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port(address)
    server.start()
    ports.put(port)
    server.wait_for_termination()


class BareStream:
    """One bidirectional gRPC stream to another process that echoes.

    Args:
        method: "Echo", or "Take", which answers `END` alone.
        tcp: Whether it goes over TCP; otherwise over a Unix socket.
    """

    def __init__(self, method: str = "Echo", tcp: bool = False) -> None:
        self._method, self._tcp = method, tcp

    def __enter__(self) -> BareStream:
        context = multiprocessing.get_context("spawn")
        self._folder = tempfile.TemporaryDirectory()
        address = "127.0.0.1:0" if self._tcp else f"unix:{Path(self._folder.name) / 's'}"
        ports = context.Queue()
        self._server = context.Process(target=_serve, args=(address, ports), daemon=True)
        self._server.start()
        port = ports.get(timeout=30)
        self._requests: queue.SimpleQueue = queue.SimpleQueue()
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}" if self._tcp else address, options=_OPTIONS)
        self._replies = self._channel.stream_stream(f"/floor.Floor/{self._method}")(iter(self._requests.get, None))
        return self

    def __exit__(self, *exc: object) -> None:
        self._requests.put(None)
        self._channel.close()
        self._server.kill()
        self._server.join()
        self._folder.cleanup()

    def exchange(self, message: bytes) -> bytes:
        """Send one message and wait for its echo."""
        self._requests.put(message)
        return next(self._replies)

    def round_trip(self, count: int) -> Spread:
        """Time a 200-byte message there and back."""
        return repeat(lambda: self.exchange(b"x" * 200), count, warmup_count=50)

    def bulk(self, size_bytes: int, count: int) -> Spread:
        """Time `size_bytes` there and back in 1 MiB messages."""
        chunk = bytes(CHUNK_BYTES)
        pieces = size_bytes // CHUNK_BYTES

        def work() -> None:
            for _ in range(pieces):
                self._requests.put(chunk)
            for _ in range(pieces):
                next(self._replies)

        return repeat(work, count)


    def upload(self, content: memoryview, count: int) -> Spread:
        """Time bytes there in 1 MiB messages, each a copy of its piece, until the other end has all; for "Take"."""

        def work() -> None:
            for start in range(0, content.nbytes, CHUNK_BYTES):
                self._requests.put(bytes(content[start : start + CHUNK_BYTES]))
            self.exchange(END)

        return repeat(work, count)


def memcpy(size_bytes: int, count: int) -> Spread:
    """Time a copy of `size_bytes` between two touched buffers."""
    source, target = bytearray(size_bytes), bytearray(size_bytes)
    return spread([once_s(lambda: memoryview(target).__setitem__(slice(None), source)) for _ in range(count)])


def hashing(size_bytes: int, count: int) -> Spread:
    """Time the hash that tells whether a buffer has changed."""
    source = bytearray(size_bytes)
    return repeat(lambda: xxhash.xxh3_128_digest(source), count)
