"""A gateway that others can reach makes its own certificate, renews it in time, and shows the new one at once."""

from __future__ import annotations

import signal
import socket
import ssl
import stat
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from remote_runtime.gateway import certificates
from remote_runtime.gateway.certificates import CERTIFICATE_DAYS, DAY_S, RENEW_DAYS, furnished, names_here, renew, shown
from remote_runtime.gateway.config import Config
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.methods import GATEWAY_SERVICE
from tests.gateway.running import LIMIT_S, Running

NOW_AT = time.time()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(tmp_path, tmp_path / "run", host="0.0.0.0", tls_names=("gpu.example.org", "10.1.2.3"))


def loaded(file: Path | str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(Path(file).read_bytes())


def test_it_is_for_every_name_of_the_machine_and_its_key_is_private(config: Config) -> None:
    made = furnished(config, NOW_AT)
    names = shown(Path(made.tls_cert)).names
    assert set(names_here(config)) == set(names)
    assert {"gpu.example.org", "10.1.2.3", "localhost", "127.0.0.1", "::1"} <= set(names)
    loaded(made.tls_cert).verify_directly_issued_by(loaded(config.own_ca))
    assert {stat.S_IMODE(file.stat().st_mode) for file in config.own_ca.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(config.own_ca.parent.stat().st_mode) == 0o700
    assert made.own_tls and made.tls


def test_it_is_kept_while_it_is_good_and_renewed_before_its_end(config: Config) -> None:
    first = loaded(furnished(config, NOW_AT).tls_cert)
    assert loaded(furnished(config, NOW_AT + (CERTIFICATE_DAYS - RENEW_DAYS - 1) * DAY_S).tls_cert) == first
    later_at = NOW_AT + (CERTIFICATE_DAYS - RENEW_DAYS + 1) * DAY_S
    second = furnished(config, later_at)
    assert shown(Path(second.tls_cert)).ends_at == pytest.approx(later_at + CERTIFICATE_DAYS * DAY_S, abs=2)
    loaded(second.tls_cert).verify_directly_issued_by(loaded(config.own_ca))  # what clients have pinned holds


@pytest.mark.parametrize("damage", ["", "nonsense", "removed"])
def test_it_is_made_anew_when_it_is_damaged(config: Config, damage: str) -> None:
    server = Path(furnished(config, NOW_AT).tls_cert)
    server.unlink() if damage == "removed" else server.write_text(damage)
    furnished(config, NOW_AT)
    loaded(server).verify_directly_issued_by(loaded(config.own_ca))


def test_it_is_made_anew_for_other_names_and_under_another_authority(config: Config) -> None:
    made = furnished(config, NOW_AT)
    ca, key, server = config.own_ca, config.own_ca.with_name("ca-key.pem"), Path(made.tls_cert)
    assert not renew(ca, key, server, names_here(config), NOW_AT)
    assert renew(ca, key, server, ["localhost"], NOW_AT)
    certificates._make_authority(ca, key, NOW_AT)
    assert renew(ca, key, server, ["localhost"], NOW_AT)


def test_an_authority_that_cannot_be_read_is_said(config: Config) -> None:
    furnished(config, NOW_AT)
    config.own_ca.write_text("nonsense")
    with pytest.raises(Failed, match="cannot be used") as failed:
        furnished(config, NOW_AT)
    assert "remove that directory" in failed.value.hint


def test_given_certificates_and_loopback_need_none(tmp_path: Path) -> None:
    for config in (Config(tmp_path, tmp_path), Config(tmp_path, tmp_path, host="0.0.0.0", tls_cert="c", tls_key="k")):
        assert furnished(config, NOW_AT) is config
    assert not list(tmp_path.iterdir())


def served(running: Running, face: str) -> x509.Certificate:
    """Return what a face shows now, checked as a client checks it."""
    context = ssl.create_default_context(cafile=running.ca)
    context.set_alpn_protocols(["h2", "http/1.1"])
    port = int(getattr(running, face).rpartition(":")[2])
    with socket.create_connection(("localhost", port), LIMIT_S) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as spoken:
            return x509.load_der_x509_certificate(spoken.getpeercert(binary_form=True))


def described(running: Running, ca: str) -> int:
    credentials = grpc.ssl_channel_credentials(Path(ca).read_bytes())
    with grpc.secure_channel(f"localhost:{running.grpc.rpartition(':')[2]}", credentials) as channel:
        stub = channel.unary_unary(f"/{GATEWAY_SERVICE}/Describe", pb.DescribeRequest.SerializeToString, pb.RuntimeInfo.FromString)
        return stub(pb.DescribeRequest(), metadata=running.metadata, timeout=LIMIT_S).pid


def test_both_faces_show_it_and_a_renewed_one_without_a_restart(gateway: Callable[..., Running]) -> None:
    running = gateway("--min-warm", "0", "--host", "0.0.0.0", "--tls-name", "gpu.example.org")
    assert running.https.startswith("https://gpu.example.org:")
    assert described(running, running.ca) == running.process.pid
    first = served(running, "http")
    assert first == served(running, "grpc")
    server = Path(running.ca).with_name("server.pem")
    config = Config(running.home / "state", running.home / "run", host="0.0.0.0", tls_names=("gpu.example.org",))
    server.unlink()
    assert renew(Path(running.ca), server.with_name("ca-key.pem"), server, names_here(config), NOW_AT)
    assert served(running, "grpc") == loaded(server) != first
    running.process.send_signal(signal.SIGHUP)
    while served(running, "http") == first:
        pass
    assert served(running, "http") == loaded(server)
    assert described(running, running.ca) == running.process.pid
    assert running.end() == 0


def test_the_authority_is_shown_to_anybody_and_is_the_one_on_the_disk(gateway: Callable[..., Running]) -> None:
    running = gateway("--min-warm", "0", "--host", "0.0.0.0")
    port = running.http.rpartition(":")[2]
    import urllib.request

    unchecked = ssl._create_unverified_context()
    with urllib.request.urlopen(f"https://localhost:{port}/v1/ca", context=unchecked, timeout=LIMIT_S) as reply:
        assert reply.read() == Path(running.ca).read_bytes()
    assert running.end() == 0
