"""A second interpreter with a namespace of its own, to send bundles to and get bundles from."""

from __future__ import annotations

import os
import pickle
import struct
import subprocess
import sys
import types
from pathlib import Path
from typing import Any, BinaryIO

from remote_runtime.wire.payload import Bundle, Packed, UnpackError, pack, unpack

ROOT = Path(__file__).resolve().parents[2]
_SIZE = struct.Struct("!Q")


class FarError(Exception):
    """What went wrong in the far interpreter: class name, text, and UnpackError's reason."""

    def __init__(self, kind: str, text: str, reason: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind, self.text, self.reason = kind, text, reason


def flat(bundle: Bundle) -> tuple[bytes, list[bytes]]:
    return bytes(bundle.pickle), [bytes(buffer) for buffer in bundle.buffers]


def arrived(pickled: bytes, buffers: list[bytes]) -> Bundle:
    return Bundle(pickled, tuple(memoryview(bytearray(buffer)) for buffer in buffers))


def _write(stream: BinaryIO, message: object) -> None:
    raw = pickle.dumps(message)
    stream.write(_SIZE.pack(len(raw)) + raw)
    stream.flush()


def _read(stream: BinaryIO) -> Any:
    head = stream.read(_SIZE.size)
    return pickle.loads(stream.read(_SIZE.unpack(head)[0])) if head else None


class Far:
    """The near side of the pipe."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.payload.far"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def _call(self, verb: str, *args: object) -> Any:
        _write(self.process.stdin, (verb, *args))
        answer = _read(self.process.stdout)
        if answer is None:
            raise FarError("Died", f"exit code {self.process.wait()}", "")
        if answer[0] == "error":
            raise FarError(*answer[1:])
        return answer[1]

    def fresh(self) -> None:
        self._call("fresh")

    def put(self, bundle: Bundle) -> list[str]:
        return self._call("put", *flat(bundle))

    def run(self, source: str) -> None:
        self._call("run", source)

    def ask(self, expression: str) -> Any:
        """Evaluate there; the value must be plain data."""
        return self._call("ask", expression)

    def get(self, *names: str) -> Bundle:
        return arrived(*self._call("get", names))

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


class Notebook:
    """A namespace as a notebook has it, with a far one beside it."""

    def __init__(self, far: Far) -> None:
        self.far = far
        self.module = types.ModuleType("__main__")
        self.names: dict[str, Any] = vars(self.module)
        self._cells = 0

    def cell(self, source: str) -> None:
        self._cells += 1
        exec(compile(source, f"<cell {self._cells}>", "exec", dont_inherit=True), self.names)

    def pack(self, *names: str) -> Packed:
        return pack({n: self.names[n] for n in names}, namespace=self.names, expand=self._present)

    def _present(self, mentions: Any) -> dict[str, Any]:
        return {n: self.names[n] for n in mentions if n in self.names}

    def send(self, *names: str) -> Packed:
        packed = self.pack(*names)
        assert self.far.put(packed.bundle) == list(packed.names)
        return packed

    def fetch(self, *names: str) -> None:
        self.names.update(unpack(self.far.get(*names), namespace=self.names))


class _Server:
    """The far side of the pipe."""

    def __init__(self) -> None:
        self.fresh()

    def fresh(self) -> None:
        self.module = sys.modules["__main__"] = types.ModuleType("__main__")
        self.names = vars(self.module)

    def put(self, pickled: bytes, buffers: list[bytes]) -> list[str]:
        before = {name: id(value) for name, value in self.names.items()}
        values = unpack(arrived(pickled, buffers), namespace=self.names, resolve=lambda token: self.names[token])
        assert {name: id(value) for name, value in self.names.items()} == before, "unpack changed the namespace"
        self.names.update(values)
        return list(values)

    def run(self, source: str) -> None:
        exec(compile(source, "<far>", "exec", dont_inherit=True), self.names)

    def ask(self, expression: str) -> Any:
        return eval(expression, self.names)

    def get(self, names: tuple[str, ...]) -> tuple[bytes, list[bytes]]:
        return flat(pack({n: self.names[n] for n in names}, namespace=self.names).bundle)


def serve() -> None:
    requests, replies = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = open(os.devnull, "w")
    server = _Server()
    while (message := _read(requests)) is not None:
        verb, *args = message
        try:
            _write(replies, ("ok", getattr(server, verb)(*args)))
        except Exception as error:
            reason = error.reason if isinstance(error, UnpackError) else ""
            _write(replies, ("error", type(error).__name__, str(error), reason))


if __name__ == "__main__":
    serve()
