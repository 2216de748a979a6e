"""With TLS the runtime is reached by its https address, and only by who trusts its certificate."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel_proxy.channel import Address, Door
from kernel_proxy.errors import RuntimeUnavailable
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import versions
from remote_runtime.wire.methods import GATEWAY_SERVICE
from tests.cli.conftest import Shell

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")


@pytest.fixture
def certificate(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command, *names, "-keyout", key, "-out", cert], check=True, capture_output=True)
    yield cert, key


def test_the_https_address_is_enough(warmcell: Shell, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    line = warmcell.json("up", "--tls-cert", str(cert), "--tls-key", str(key))
    assert line["http"].startswith("https://")
    away = Shell(warmcell.home.parent / "elsewhere", {"WARMCELL_URL": line["http"], "WARMCELL_TOKEN": line["token"]})
    done = away("status")
    assert done.returncode == 1 and "certificate verify failed" in done.stderr
    away.more["WARMCELL_CA_FILE"] = str(cert)
    assert away.json("status")["http"] == line["http"]


def test_grpc_speaks_tls_too(warmcell: Shell, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    line = warmcell.json("up", "--tls-cert", str(cert), "--tls-key", str(key))
    request = pb.DescribeRequest(versions=versions.here())
    trusting = Door(GATEWAY_SERVICE, Address(line["grpc"], True, str(cert)), line["token"])
    assert trusting.call("Describe", request).grpc == line["grpc"]
    plain = Door(GATEWAY_SERVICE, Address(line["grpc"]), line["token"])
    with pytest.raises(RuntimeUnavailable):
        plain.call("Describe", request)
    trusting.close(), plain.close()
