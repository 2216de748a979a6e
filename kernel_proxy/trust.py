"""Trust on first use: which certificate a runtime is known by, shown before a token is sent to it.

    url -> trusted by this machine?  yes -> nothing to keep
                                     no  -> the runtime's own CA -> its fingerprint -> asked -> kept
"""

from __future__ import annotations

import hashlib
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from kernel_proxy import logins
from kernel_proxy.discovery import LOOPBACK, TIMEOUT_S, opener
from kernel_proxy.errors import RuntimeUnavailable, SettingsError, Unauthorized
from kernel_proxy.finding import door_of
from kernel_proxy.logins import Login
from kernel_proxy.settings import Settings
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import versions

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_MOST_BYTES = 64 * 1024

Confirm = Callable[[str], bool]
"""A fingerprint -> whether the user trusts it."""


def fingerprint(pem: str) -> str:
    """Return the SHA-256 of the first certificate of a bundle, as `openssl x509 -fingerprint -sha256` writes it.

    Raises:
        SettingsError: There is no certificate in it.
    """
    found = _PEM.search(pem)
    if found is None:
        raise SettingsError("the file holds no PEM certificate", "give the `ca` that `warmcell up --json` names")
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(found[0])).hexdigest().upper()
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def authority(url: str, home: Path, ca: str, expected: str, confirm: Confirm) -> str:
    """Find out by which certificate a runtime is known; nothing secret has been sent to it yet.

    Args:
        url: The runtime.
        home: Where a certificate is kept.
        ca: A file with it, "" to ask the runtime.
        expected: Its fingerprint, "" to ask the user.
        confirm: Asks the user.

    Returns:
        The file that it is kept in; "" where this machine's own authorities are enough.

    Raises:
        SettingsError: The user does not trust it, it is another one than expected, or the address is not safe.
        RuntimeUnavailable: Nothing answers there.
    """
    place = urlsplit(url)
    if place.scheme not in ("http", "https") or not place.hostname:
        raise SettingsError(f"{url!r} is no address of a runtime", "it looks like https://gpu01:8470")
    if place.scheme == "http":
        if place.hostname not in LOOPBACK:
            raise SettingsError(f"a token for {url} would travel in the clear", "use its https:// address")
        return ""
    if ca:
        return logins.keep_ca(home, _read(ca, expected))
    if not expected and _is_trusted(url):
        return ""
    pem = _ask_authority(url)
    found = fingerprint(pem)
    if expected and not _same(found, expected):
        raise SettingsError(
            f"{url} is known by another certificate: its fingerprint is {found}, not {expected}",
            "somebody may stand in between, or the runtime was set up anew: ask who runs it",
        )
    if not expected and not confirm(found):
        raise SettingsError(f"the certificate of {url} is not trusted, and nothing was sent to it",
                            "compare its fingerprint with that of `warmcell up`, or give --ca or --fingerprint")
    return logins.keep_ca(home, pem)


def log_in(url: str, token: str, ca_file: str, home: Path) -> tuple[Login, pb.Caller]:
    """Try a token, and store it if it is good.

    Raises:
        Unauthorized: It is not.
        RuntimeUnavailable: The runtime cannot be reached.
    """
    settings = Settings(url=logins.plain_url(url), token=token, ca_file=ca_file, home=home)
    if not token or not token.isascii() or not token.isprintable():
        raise Unauthorized("that is no token", "paste it whole; it looks like wc_ab12cd34_...")
    with door_of(settings) as door:
        caller = door.call("Describe", pb.DescribeRequest(versions=versions.here()), settings.answer_s).caller
    login = Login(settings.url, token, ca_file, caller.user)
    logins.save(home, login)
    return login, caller


def drop_ca(home: Path, ca_file: str) -> None:
    """Remove a certificate that was kept for a login that failed, unless another login has it."""
    if ca_file and all(login.ca_file != ca_file for login in logins.every(home)):
        Path(ca_file).unlink(missing_ok=True)


def _read(ca: str, expected: str) -> str:
    try:
        pem = Path(ca).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the certificate {ca} cannot be read: {error}", "check --ca") from error
    if expected and not _same(fingerprint(pem), expected):
        raise SettingsError(f"the fingerprint of {ca} is {fingerprint(pem)}, not {expected}", "check both")
    fingerprint(pem)
    return pem


def _same(found: str, expected: str) -> bool:
    return found.replace(":", "") == re.sub(r"[^0-9A-F]", "", expected.upper().removeprefix("SHA256"))


def _is_trusted(url: str) -> bool:
    """Tell whether this machine's authorities vouch for a runtime; whatever else is wrong is told later."""
    try:
        with opener(url, ssl.create_default_context()).open(f"{url}/healthz", timeout=TIMEOUT_S):
            return True
    except (OSError, ValueError):
        return False


def _ask_authority(url: str) -> str:
    unchecked = ssl.create_default_context()
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE  # what it says is shown to the user first
    try:
        with opener(url, unchecked).open(f"{url}/v1/ca", timeout=TIMEOUT_S) as reply:
            return reply.read(_MOST_BYTES).decode("ascii", "replace")
    except urllib.error.HTTPError as error:
        error.close()
        raise SettingsError(
            f"the certificate of {url} is signed by nobody whom this machine trusts, and the runtime has no "
            "authority of its own to show", "ask who runs it for the certificate of its authority, and give --ca FILE",
        ) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", error)
        raise RuntimeUnavailable(f"there is no runtime at {url}: {why}", "check the address and its port") from error
