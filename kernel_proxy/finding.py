"""Where the runtime is: this machine's own, at an address, or with an account on another host.

    Settings -> no url: the embedded gateway, found or started   -> Found(address, ...), token
             -> ssh://: a socket here that leads there
             -> http(s)://: asked over HTTP; its gRPC port, else all through that one port

Everything here may be asked again and again: that is how a runtime which went away is found anew.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kernel_proxy import embedded, statedir
from kernel_proxy.channel import Address, Door
from kernel_proxy.discovery import Found, discover
from kernel_proxy.errors import NotRunning, RuntimeUnavailable
from kernel_proxy.settings import Settings
from remote_runtime.wire.methods import GATEWAY_SERVICE

if TYPE_CHECKING:
    from kernel_proxy.tunnel import Tunnel
    from kernel_proxy.webtunnel import WebTunnel

Say = Callable[[str], None]

DYING_S = 2.0
"""How long a gateway that was killed may stay visible as a process."""

KNOCK_S = 2.0
"""How long a gRPC port may take to accept a connection before the HTTP port is used for all."""


class Finder:
    """Finds one runtime.

    Args:
        settings: Where it is.
        start: Whether the runtime may be started, where it is one that starts by itself.
    """

    def __init__(self, settings: Settings, start: bool) -> None:
        self._settings, self._start = settings, start
        self._tunnel: Tunnel | None = None
        self._web: WebTunnel | None = None

    def find(self, say: Say, *, patient: bool = False) -> tuple[Found, str]:
        """Return where the gateway is called, and the token to show.

        Args:
            say: Told in a sentence what takes time.
            patient: Whether this is one of many attempts in the background.

        Raises:
            WarmcellError: It is not there, refuses, or cannot be started.
        """
        if self._settings.over_ssh:
            return self._over_ssh(say, patient)
        if not self._settings.embedded:
            return self._by_url(), self._settings.token
        return self._here(say)

    def close(self) -> None:
        """Let go of what led there."""
        if self._web is not None:
            self._web.close()

    def is_dying(self) -> bool:
        """Tell whether the embedded gateway, which does not listen, is gone or will be in a moment."""
        if not self._settings.embedded:
            return False
        gateway = embedded.find(self._settings.home)
        return gateway is None or statedir.wait_gone(gateway, DYING_S)

    def _over_ssh(self, say: Say, patient: bool) -> tuple[Found, str]:
        if self._tunnel is None:
            from kernel_proxy.tunnel import Tunnel  # most kernels never need it

            self._tunnel = Tunnel(self._settings, self._start)
        entrance = self._tunnel.open(say, patient=patient)
        address = Address(f"unix:{entrance.unix}", name=self._tunnel.host.name)
        return Found(address, entrance.url, is_far=True), entrance.token

    def _by_url(self) -> Found:
        found = discover(self._settings)
        why_not = "it is behind another address" if found.is_behind else _deaf(found.address)
        if not why_not or found.address.target.startswith("unix:"):
            return found
        if self._web is None:
            from kernel_proxy.webtunnel import WebTunnel  # most kernels never need it

            self._web = WebTunnel(self._settings)
        try:
            target = self._web.open()
        except RuntimeUnavailable as error:
            both = f"{error.message}; nor can gRPC at {found.address.target} be used: {why_not}"
            raise RuntimeUnavailable(both, error.hint) from None
        return Found(Address(target, name=urlsplit(found.http).netloc), found.http, is_far=True)

    def _here(self, say: Say) -> tuple[Found, str]:
        settings = self._settings
        gateway = embedded.find(settings.home)
        if gateway is None and not self._start:
            raise NotRunning(f"no runtime runs on {settings.home}", "start it with `warmcell up`")
        if gateway is None:
            say("starting the embedded runtime")
            gateway, _ = embedded.start(embedded.launch_of(settings))
        tcp = Address(gateway.grpc, gateway.http.startswith("https"), gateway.ca or settings.ca_file)
        address = Address(f"unix:{gateway.unix}") if os.path.exists(gateway.unix) else tcp
        return Found(address, gateway.http), gateway.token


@contextmanager
def door_of(settings: Settings) -> Iterator[Door]:
    """Give the gateway that the settings name, for a question or two; none is started.

    Raises:
        WarmcellError: It is not there, or refuses.
    """
    finder = Finder(settings, start=False)
    found, token = finder.find(lambda sentence: None)
    door = Door(GATEWAY_SERVICE, found.address, token)
    try:
        yield door
    finally:
        door.close()
        finder.close()


def _deaf(address: Address) -> str:
    """Return why nothing listens at an address; empty where something does."""
    host, _, port = address.target.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), KNOCK_S).close()
    except (OSError, ValueError) as error:
        return str(error)
    return ""
