"""Where a runtime's gRPC is, asked at the one `http(s)://` address that a user knows.

url, token -> GET url/v1/runtime -> Found(address, unix)
"""

from __future__ import annotations

import json
import os
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from kernel_proxy.channel import Address
from kernel_proxy.errors import RuntimeUnavailable, SettingsError, Unauthorized, WarmcellError
from kernel_proxy.settings import Settings
from remote_runtime.wire import versions

TIMEOUT_S = 10.0
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_ANYWHERE = frozenset({"", "0.0.0.0", "::", "[::]"})


@dataclass(frozen=True)
class Found:
    """A gateway's addresses.

    Args:
        address: The one to call.
        http: Its HTTP address.
        is_far: Whether the way to it is forwarded, so that no path it names means anything here.
    """

    address: Address
    http: str
    is_far: bool = False


def discover(settings: Settings) -> Found:
    """Ask the runtime at `settings.url` where it is called.

    Raises:
        RuntimeUnavailable: Nothing of ours answers there.
        Unauthorized: It does not accept the token.
    """
    record = _get(f"{settings.url.rstrip('/')}/v1/runtime", settings)
    try:
        return Found(address_of(record, settings), settings.url)
    except (KeyError, TypeError, AttributeError) as error:
        raise _nothing_of_ours(settings.url, f"its answer lacks {error}") from error


def address_of(record: dict[str, Any], settings: Settings) -> Address:
    """Choose the address from the runtime's answer: the Unix socket on the same host, else TCP."""
    unix, host = record.get("unix", ""), record.get("versions", {}).get("host", "")
    if unix and host == versions.host_id() and os.path.exists(unix):
        return Address(f"unix:{unix}")
    url = urlsplit(settings.url)
    name, _, port = record["grpc"].rpartition(":")
    if name in _ANYWHERE or (name in LOOPBACK and url.hostname not in LOOPBACK):
        name = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname or ""
    return Address(f"{name}:{port}", url.scheme == "https", settings.ca_file)


def _get(url: str, settings: Settings) -> dict[str, Any]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {settings.token}"})
    try:
        with _opener(url, settings).open(request, timeout=TIMEOUT_S) as reply:
            found = json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(settings.url, error.code) from None
    except (OSError, ValueError) as error:
        raise _nothing_of_ours(settings.url, str(getattr(error, "reason", error))) from error
    if not isinstance(found, dict):
        raise _nothing_of_ours(settings.url, "its answer is no JSON object")
    return found


def _opener(url: str, settings: Settings) -> urllib.request.OpenerDirector:
    handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
    if urlsplit(url).hostname in LOOPBACK:
        handlers.append(urllib.request.ProxyHandler({}))  # no proxy can reach this machine's loopback
    if url.startswith("https:"):
        handlers.append(urllib.request.HTTPSHandler(context=_tls(settings)))
    return urllib.request.build_opener(*handlers)


def _tls(settings: Settings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.ca_file or None)
    except OSError as error:
        raise SettingsError(
            f"the certificate bundle {settings.ca_file} cannot be read: {error}", "check `ca_file`"
        ) from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it would carry the token to another host."""

    def redirect_request(self, *args: Any, **options: Any) -> None:
        return None


def _refused(url: str, status: int) -> WarmcellError:
    if status in (401, 403):
        return Unauthorized(f"the runtime at {url} does not accept the token", "set WARMCELL_TOKEN to its token")
    return _nothing_of_ours(url, f"it answered with HTTP status {status}")


def _nothing_of_ours(url: str, why: str) -> RuntimeUnavailable:
    return RuntimeUnavailable(
        f"there is no runtime at {url}: {why}",
        "check WARMCELL_URL, or unset it to use this machine's own runtime",
    )
