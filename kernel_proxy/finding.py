"""Where the runtime is: this machine's own, at an address, or with an account on another host.

    Settings -> no url: the embedded gateway, found or started   -> Found(address, ...), token
             -> ssh://: a socket here that leads there
             -> http(s)://: asked over HTTP

Everything here may be asked again and again: that is how a runtime which went away is found anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from kernel_proxy import embedded, statedir
from kernel_proxy.channel import Address
from kernel_proxy.discovery import Found, discover
from kernel_proxy.errors import RuntimeUnavailable
from kernel_proxy.settings import Settings

if TYPE_CHECKING:
    from kernel_proxy.tunnel import Tunnel

Say = Callable[[str], None]

DYING_S = 2.0
"""How long a gateway that was killed may stay visible as a process."""


class Finder:
    """Finds one runtime.

    Args:
        settings: Where it is.
        start: Whether the embedded runtime may be started.
    """

    def __init__(self, settings: Settings, start: bool) -> None:
        self._settings, self._start = settings, start
        self._tunnel: Tunnel | None = None

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
            return discover(self._settings), self._settings.token
        return self._here(say)

    def is_dying(self) -> bool:
        """Tell whether the embedded gateway, which does not listen, is gone or will be in a moment."""
        if not self._settings.embedded:
            return False
        gateway = embedded.find(self._settings.home)
        return gateway is None or statedir.wait_gone(gateway, DYING_S)

    def _over_ssh(self, say: Say, patient: bool) -> tuple[Found, str]:
        if self._tunnel is None:
            from kernel_proxy.tunnel import Tunnel  # most kernels never need it

            self._tunnel = Tunnel(self._settings)
        entrance = self._tunnel.open(say, patient=patient)
        address = Address(f"unix:{entrance.unix}", name=self._tunnel.host.name)
        return Found(address, entrance.url, is_far=True), entrance.token

    def _here(self, say: Say) -> tuple[Found, str]:
        settings = self._settings
        gateway = embedded.find(settings.home)
        if gateway is None and not self._start:
            raise RuntimeUnavailable(f"no runtime runs on {settings.home}", "start it with `warmcell up`")
        if gateway is None:
            say("starting the embedded runtime")
            gateway, _ = embedded.start(embedded.launch_of(settings))
        tcp = Address(gateway.grpc, gateway.http.startswith("https"), settings.ca_file)
        address = Address(f"unix:{gateway.unix}") if os.path.exists(gateway.unix) else tcp
        return Found(address, gateway.http), gateway.token
