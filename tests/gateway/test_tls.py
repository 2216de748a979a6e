"""A gateway that other machines can reach speaks TLS, on both faces, and still needs the token."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.methods import GATEWAY_SERVICE
from tests.gateway.running import Running

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")


@pytest.fixture
def pair(home: Path) -> tuple[Path, Path]:
    cert, key = home / "cert.pem", home / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*words, "-out", cert, "-keyout", key], check=True, capture_output=True)
    return cert, key


@needs_openssl
def test_both_faces_speak_tls_and_say_how_the_client_reaches_them(gateway: Callable[..., Running], pair: tuple) -> None:
    cert, key = pair
    running = gateway("--min-warm", "0", "--host", "0.0.0.0", "--tls-cert", str(cert), "--tls-key", str(key))
    assert running.http.startswith("https://0.0.0.0:")
    port = running.http.rpartition(":")[2]
    trusted = ssl.create_default_context(cafile=str(cert))
    asked = urllib.request.Request(f"https://localhost:{port}/v1/runtime", headers={"Authorization": f"Bearer {running.token}"})
    with urllib.request.urlopen(asked, context=trusted, timeout=10) as reply:
        info = reply.read().decode()
    assert f'"grpc":"localhost:{running.grpc.rpartition(":")[2]}"' in info
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"https://localhost:{port}/v1/runtime", context=trusted, timeout=10)
    credentials = grpc.ssl_channel_credentials(cert.read_bytes())
    with grpc.secure_channel(f"localhost:{running.grpc.rpartition(':')[2]}", credentials) as channel:
        stub = channel.unary_unary(f"/{GATEWAY_SERVICE}/Describe", pb.DescribeRequest.SerializeToString, pb.RuntimeInfo.FromString)
        assert stub(pb.DescribeRequest(), metadata=running.metadata, timeout=10).pid == running.process.pid
    assert running.end() == 0
