"""A runtime's own TLS: a certificate authority made once, and under it a certificate that is renewed in time.

    furnished(config) -> STATE/tls/ca.pem, ca-key.pem   made once; clients pin it when they log in
                      -> STATE/tls/server.pem           key and certificate in one file, so that they always match

The only place that knows the `cryptography` package, which is loaded when a certificate must be made or read.
"""

from __future__ import annotations

import datetime
import ipaddress
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from remote_runtime.engines import records
from remote_runtime.gateway.config import Config
from remote_runtime.wire.failures import Failed

DAY_S = 86400.0
CA_DAYS, CERTIFICATE_DAYS, RENEW_DAYS = 3650, 90, 30
"""How long the authority and a certificate are good, and how long before its end a certificate is renewed."""

_EARLY = datetime.timedelta(hours=1)
"""Certificates begin a little in the past: clocks differ."""

_IN6 = Path("/proc/net/if_inet6")


@dataclass(frozen=True)
class Shown:
    """What a certificate tells.

    Args:
        names: Host names and addresses that it is for.
        ends_at: Seconds since the epoch.
    """

    names: tuple[str, ...]
    ends_at: float


def furnished(config: Config, now_at: float) -> Config:
    """Return a configuration with TLS files: made or renewed, where the runtime has its own.

    Args:
        config: As given.
        now_at: Seconds since the epoch.

    Raises:
        Failed: code "unavailable", when files that are there cannot be used; "disk-full".
    """
    if not config.own_tls:
        return config
    directory = records.private_directory(config.own_ca.parent)
    ca, key, server = config.own_ca, directory / "ca-key.pem", directory / "server.pem"
    if not ca.exists():
        _make_authority(ca, key, now_at)
    try:
        renew(ca, key, server, names_here(config), now_at)
    except (ValueError, OSError) as error:
        raise Failed(
            "unavailable", f"the runtime's own TLS files in {directory} cannot be used: {error}",
            "remove that directory for new ones, and have everybody run `warmcell login` again",
        ) from error  # fmt: skip
    return replace(config, tls_cert=str(server), tls_key=str(server))


def renew(ca: Path, ca_key: Path, server: Path, names: Sequence[str], now_at: float) -> bool:
    """Make the certificate anew where it lacks, ends soon, is for other names, or of another authority.

    Returns:
        Whether it was made.
    """
    issuer = x509.load_pem_x509_certificate(ca.read_bytes())
    if _is_good(server, issuer, names, now_at):
        return False
    signer = serialization.load_pem_private_key(ca_key.read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    found = (
        _begun(names[0], issuer.subject, key.public_key(), now_at, CERTIFICATE_DAYS)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    records.write_text(server, _key_pem(key) + _pem(found))
    return True


def shown(file: Path) -> Shown:
    """Read the first certificate of a file.

    Raises:
        ValueError: There is none.
        OSError: It cannot be read.
    """
    found = x509.load_pem_x509_certificates(file.read_bytes())[0]
    return Shown(_names(found), found.not_valid_after_utc.timestamp())


def names_here(config: Config) -> list[str]:
    """Return the names and addresses by which clients may call this machine, those that were given first."""
    host = config.host.strip("[]")
    given = [*config.tls_names, *([host] if host and host not in ("0.0.0.0", "::") else [])]
    own = [socket.gethostname(), socket.getfqdn(), "localhost", *sorted(_addresses())]
    return list(dict.fromkeys(name for name in (*given, *own) if name))


def _addresses() -> Iterator[str]:
    """Yield this machine's addresses; interfaces that cannot be asked are left out."""
    yield from ("127.0.0.1", "::1")
    with suppress(OSError):
        for *_, address in socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM):
            yield str(address[0]).partition("%")[0]
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing: the kernel chooses the address that it would send from
        yield probe.getsockname()[0]
    with suppress(OSError):
        for line in _IN6.read_text().splitlines():
            yield str(ipaddress.IPv6Address(int(line.split()[0], 16)))


def _is_good(server: Path, issuer: x509.Certificate, names: Sequence[str], now_at: float) -> bool:
    try:
        found = x509.load_pem_x509_certificate(server.read_bytes())
        found.verify_directly_issued_by(issuer)
    except Exception:  # noqa: BLE001 - whatever is wrong with it, a new one is made
        return False
    left_s = found.not_valid_after_utc.timestamp() - now_at
    return left_s > RENEW_DAYS * DAY_S and set(map(_plain, names)) == set(_names(found))


def _make_authority(ca: Path, key_file: Path, now_at: float) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = f"warmcell on {socket.gethostname()}"[:64]
    usage = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "encipher_only", "decipher_only"), False,
    )  # fmt: skip
    found = (
        _begun(name, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key.public_key(), now_at, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    records.write_text(key_file, _key_pem(key))  # first: an authority without its key could renew nothing
    records.write_text(ca, _pem(found))


def _begun(
    name: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now_at: float, days: int
) -> x509.CertificateBuilder:
    begins = datetime.datetime.fromtimestamp(now_at, datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])]))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins - _EARLY)
        .not_valid_after(begins + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(_plain(name))


def _plain(name: str) -> str:
    """Return a name as a certificate can hold it."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.encode("idna").decode("ascii") if not name.isascii() else name


def _names(found: x509.Certificate) -> tuple[str, ...]:
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(name.value) for name in names)


def _pem(found: x509.Certificate) -> str:
    return found.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
