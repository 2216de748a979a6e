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
_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def _serve(address: str, ready) -> None:
    def echo(requests, context):
        yield from requests

    methods = {"Echo": grpc.stream_stream_rpc_method_handler(echo)}
    handler = grpc.method_handlers_generic_handler("floor.Floor", methods)
    server = grpc.server(futures.ThreadPoolExecutor(4), options=_OPTIONS)
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(address)
    server.start()
    ready.set()
    server.wait_for_termination()


class BareStream:
    """One bidirectional gRPC stream over a Unix socket to another process that echoes."""

    def __enter__(self) -> BareStream:
        context = multiprocessing.get_context("spawn")
        self._folder = tempfile.TemporaryDirectory()
        address = f"unix:{Path(self._folder.name) / 's'}"
        ready = context.Event()
        self._server = context.Process(target=_serve, args=(address, ready), daemon=True)
        self._server.start()
        ready.wait(30)
        self._requests: queue.SimpleQueue = queue.SimpleQueue()
        self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        self._replies = self._channel.stream_stream("/floor.Floor/Echo")(iter(self._requests.get, None))
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


def memcpy(size_bytes: int, count: int) -> Spread:
    """Time a copy of `size_bytes` between two touched buffers."""
    source, target = bytearray(size_bytes), bytearray(size_bytes)
    return spread([once_s(lambda: memoryview(target).__setitem__(slice(None), source)) for _ in range(count)])


def hashing(size_bytes: int, count: int) -> Spread:
    """Time the hash that tells whether a buffer has changed."""
    source = bytearray(size_bytes)
    return repeat(lambda: xxhash.xxh3_128_digest(source), count)
