"""The way out of this machine: through which proxy, and whose certificates are trusted.

    url -> proxy_for -> the proxy's address, or None       settings -> tls -> SSLContext

What stays on this machine never goes through a proxy, whatever the environment says.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
import urllib.request
from collections.abc import Mapping
from urllib.parse import urlsplit

from kernel_proxy.errors import SettingsError
from kernel_proxy.settings import Settings

CA_VARIABLES = ("WARMCELL_CA", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
"""Where a bundle of certificates is looked for when the settings name none."""


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, by its name or address."""
    if host.lower().rstrip(".") == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def proxy_for(url: str) -> str | None:
    """Return the proxy through which an address is reached, as the environment or the system says.

    Args:
        url: As `https://host/path`.

    Raises:
        SettingsError: The proxy is of a kind that is not spoken here.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]) or _in_listed_network(host):
        return None
    known = urllib.request.getproxies()
    proxy = known.get(parts.scheme) or known.get("all")
    if proxy is None:
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if urlsplit(proxy).scheme not in ("http", "https"):
        message = f"the proxy for {host} is {shown(proxy)}, and only HTTP proxies are spoken"
        raise SettingsError(message, "set HTTPS_PROXY to an HTTP proxy, or name the host in NO_PROXY")
    return proxy


def shown(proxy: str) -> str:
    """Return a proxy's address without its password."""
    parts = urlsplit(proxy)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _in_listed_network(host: str) -> bool:
    """Tell whether NO_PROXY lists a network, as `10.0.0.0/8`, that a host's address is in."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    return any(address in network for word in listed.split(",") if (network := _network(word.strip())) is not None)


def _network(word: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(word, strict=False) if "/" in word else None
    except ValueError:
        return None


def ca_bundle(named: str, environment: Mapping[str, str] | None = None) -> str:
    """Return the bundle of certificates to check a server by; empty for the system's.

    Args:
        named: What the settings say.
        environment: Replaces `os.environ`.
    """
    environment = os.environ if environment is None else environment
    return named or next((environment[name] for name in CA_VARIABLES if environment.get(name)), "")


def tls(settings: Settings) -> ssl.SSLContext:
    """Return how a server's certificate is checked.

    Raises:
        SettingsError: The bundle cannot be read.
    """
    bundle = ca_bundle(settings.ca_file)
    folder = bundle if os.path.isdir(bundle) else None
    try:
        return ssl.create_default_context(cafile=None if folder else bundle or None, capath=folder)
    except OSError as error:
        hint = "check `ca_file`, or the variable that names it: " + ", ".join(CA_VARIABLES)
        raise SettingsError(f"the certificate bundle {bundle} cannot be read: {error}", hint) from error
