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
from urllib.parse import urlsplit, urlunsplit

from kernel_proxy import outside
from kernel_proxy.channel import Address
from kernel_proxy.errors import RuntimeUnavailable, Unauthorized, WarmcellError
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
        is_behind: Whether something stands between, so that only its HTTP address is known to lead there.
    """

    address: Address
    http: str
    is_far: bool = False
    is_behind: bool = False


def discover(settings: Settings) -> Found:
    """Ask the runtime at `settings.url` where it is called.

    Raises:
        RuntimeUnavailable: Nothing of ours answers there.
        Unauthorized: It does not accept the token.
    """
    record = _get(route(settings.url, "/v1/runtime"), settings)
    try:
        return Found(address_of(record, settings), settings.place, is_behind=is_behind(record, settings))
    except (KeyError, TypeError, AttributeError) as error:
        raise _nothing_of_ours(settings, f"its answer lacks {error}") from error


def route(url: str, path: str) -> str:
    """Return the address of one of a runtime's routes: below its own path, with its own query.

    Args:
        url: The runtime's address; a proxy may want a path and a query.
        path: The route's path.
    """
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") + path, parts.query, ""))


def is_behind(record: dict[str, Any], settings: Settings) -> bool:
    """Tell whether something stands between: a proxy here or there, or a port that was forwarded.

    Args:
        record: The runtime's answer; it names the address at which it listens itself.
        settings: Their `url` is the address at which it answered.
    """
    asked, own = urlsplit(settings.url), urlsplit(record.get("http", ""))
    differs = bool(own.scheme) and (asked.scheme, _port(asked.scheme, asked.port)) != (own.scheme, own.port)
    return differs or bool(asked.path.strip("/") or asked.query) or outside.proxy_for(settings.url) is not None


def _port(scheme: str, port: int | None) -> int:
    return port or (443 if scheme == "https" else 80)


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
        context = outside.tls(settings) if url.startswith("https:") else None
        with opener(url, context).open(request, timeout=TIMEOUT_S) as reply:
            found = json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            raise refused(settings, error.code) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", error)
        if isinstance(why, ssl.SSLCertVerificationError):
            raise _not_trusted(settings.place, why) from error
        raise _nothing_of_ours(settings, str(why)) from error
    if not isinstance(found, dict):
        raise _nothing_of_ours(settings, "its answer is no JSON object")
    return found


def opener(url: str, context: ssl.SSLContext | None) -> urllib.request.OpenerDirector:
    """Return what fetches from a runtime: by the environment's proxy, but never on loopback, and never redirected."""
    proxy = outside.proxy_for(url)
    through = {} if proxy is None else {urlsplit(url).scheme: proxy}
    handlers: list[urllib.request.BaseHandler] = [_NoRedirect(), urllib.request.ProxyHandler(through)]
    if context is not None:
        handlers.append(urllib.request.HTTPSHandler(context=context))
    return urllib.request.build_opener(*handlers)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it would carry the token to another host."""

    def redirect_request(self, *args: Any, **options: Any) -> None:
        return None


def refused(settings: Settings, status: int) -> WarmcellError:
    """Return the failure for an HTTP status that is no answer."""
    if status in (401, 403):
        return Unauthorized(
            f"the runtime at {settings.place} does not accept the token: it is missing, wrong, expired or revoked",
            f"ask who runs it for another, then `warmcell login {settings.place}`, or set WARMCELL_TOKEN",
        )
    return _nothing_of_ours(settings, f"it answered with HTTP status {status}")


_CERTIFICATES = {
    10: ("has expired", "ask who runs it to renew it; a runtime renews its own"),
    62: ("is not for this name", "use a name that it is for, or have the runtime started with --tls-name NAME"),
    64: ("is not for this address", "use a name that it is for, or have the runtime started with --tls-name ADDRESS"),
}
"""OpenSSL's number -> what is wrong with a certificate, and what to do."""


def _not_trusted(url: str, error: ssl.SSLCertVerificationError) -> RuntimeUnavailable:
    known = ("is signed by nobody whom this machine trusts", f"`warmcell login {url}` trusts it, or set `ca_file`")
    what, hint = _CERTIFICATES.get(error.verify_code, known)
    return RuntimeUnavailable(
        f"the certificate of the runtime at {url} {what}: certificate verify failed: {error.verify_message}", hint
    )


def _nothing_of_ours(settings: Settings, why: str) -> RuntimeUnavailable:
    proxy = outside.proxy_for(settings.url)
    if proxy is not None:
        return RuntimeUnavailable(
            f"there is no runtime at {settings.place}, asked through the proxy {outside.shown(proxy)}: {why}",
            "check WARMCELL_URL and HTTPS_PROXY, or name the host in NO_PROXY",
        )
    return RuntimeUnavailable(
        f"there is no runtime at {settings.place}: {why}",
        "check WARMCELL_URL, or unset it to use this machine's own runtime",
    )
