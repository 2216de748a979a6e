"""A runtime's one address says where gRPC is; what does not answer as ours is said so."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from kernel_proxy.discovery import address_of, discover
from kernel_proxy.errors import RuntimeUnavailable, SettingsError, Unauthorized
from kernel_proxy.settings import Settings
from remote_runtime.wire import versions


@contextmanager
def http(status: int, body: bytes, headers: dict[str, str] | None = None) -> Iterator[tuple[str, list[Any]]]:
    """A server that gives one answer to everything, and remembers the requests."""
    seen: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers["Authorization"]))
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()
        thread.join()


def record(**fields: Any) -> dict[str, Any]:
    return {"grpc": "127.0.0.1:4711", "unix": "", "versions": {"host": versions.host_id()}, **fields}


def test_it_asks_with_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # loopback never goes through it
    with http(200, json.dumps(record()).encode()) as (url, seen):
        found = discover(Settings(url=f"{url}/", token="t0k"))
    assert seen == [("/v1/runtime", "Bearer t0k")]
    assert (found.address.target, found.address.secure) == ("127.0.0.1:4711", False)


def test_the_same_host_uses_the_unix_socket(short: Path) -> None:
    socket = short / "g.sock"
    settings = Settings(url="https://here:1")
    assert address_of(record(unix=str(socket)), settings).target == "here:4711"
    socket.touch()
    assert address_of(record(unix=str(socket)), settings).target == f"unix:{socket}"
    other = record(unix=str(socket), versions={"host": "linux:another"})
    assert address_of(other, settings).target == "here:4711"


@pytest.mark.parametrize(
    ("url", "grpc", "target", "secure"),
    [
        ("http://127.0.0.1:1", "127.0.0.1:4711", "127.0.0.1:4711", False),
        ("https://gpu.lab:1", "0.0.0.0:4711", "gpu.lab:4711", True),
        ("https://gpu.lab:1", "127.0.0.1:4711", "gpu.lab:4711", True),
        ("https://gpu.lab:1", "grpc.lab:4711", "grpc.lab:4711", True),
        ("https://[fd00::1]:1", "[::]:4711", "[fd00::1]:4711", True),
    ],
)
def test_which_address_is_called(url: str, grpc: str, target: str, secure: bool) -> None:
    address = address_of(record(grpc=grpc), Settings(url=url, ca_file="ca.pem"))
    assert (address.target, address.secure, address.ca_file) == (target, secure, "ca.pem")


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (401, b"", Unauthorized, "does not accept the token: .*revoked\nhint: ask who runs it"),
        (403, b"", Unauthorized, "does not accept the token"),
        (404, b"", RuntimeUnavailable, "HTTP status 404"),
        (500, b"", RuntimeUnavailable, "HTTP status 500"),
        (200, b"<html>", RuntimeUnavailable, "there is no runtime at http://127.0.0.1"),
        (200, b"[1]", RuntimeUnavailable, "no JSON object"),
        (200, b"{}", RuntimeUnavailable, "lacks 'grpc'"),
        (200, b'{"grpc": 3}', RuntimeUnavailable, "there is no runtime at"),
    ],
)
def test_what_does_not_answer_as_ours(status: int, body: bytes, error: type[Exception], words: str) -> None:
    with http(status, body) as (url, _), pytest.raises(error, match=words):
        discover(Settings(url=url, token="t"))


def test_a_redirect_gets_no_token() -> None:
    with http(200, json.dumps(record()).encode()) as (elsewhere, seen):
        with http(302, b"", {"Location": elsewhere}) as (url, _), pytest.raises(RuntimeUnavailable, match="302"):
            discover(Settings(url=url, token="t"))
    assert seen == []


def test_nobody_there() -> None:
    with http(200, b"") as (url, _):
        pass
    with pytest.raises(RuntimeUnavailable, match="refused"):
        discover(Settings(url=url))


def test_a_missing_certificate_bundle() -> None:
    with pytest.raises(SettingsError, match="the certificate bundle /none.pem cannot be read"):
        discover(Settings(url="https://127.0.0.1:1", ca_file="/none.pem"))
