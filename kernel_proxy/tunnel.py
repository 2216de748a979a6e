"""The way to a runtime over SSH: a connection, its gateway, and a socket here that leads to that gateway's.

    ssh://gpu01 -> Link.up -> arrive -> Link.forwarded -> Entrance(socket here, token)

It is walked anew whenever the gateway cannot be reached, which is when a laptop wakes or a link has dropped. Who
tries again in the background waits longer after each failure, so that no host is pestered with keys it refuses.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from kernel_proxy import arrival, ssh, sshlink
from kernel_proxy.errors import NotRunning, RuntimeUnavailable, WarmcellError
from kernel_proxy.settings import Settings

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
"""Between attempts in the background after failures, doubling."""


@dataclass(frozen=True)
class Entrance:
    """Where a gateway on a host is reached from here.

    Args:
        unix: Path of the forwarded socket.
        token: To show to it.
        url: The host, as the user wrote it.
    """

    unix: str
    token: str = field(repr=False)
    url: str


class Tunnel:
    """The way to one host.

    Args:
        settings: Their `url` names it.
        start: Whether the gateway may be started there, and warmcell brought.
        clock: Monotonic seconds.
    """

    def __init__(
        self, settings: Settings, start: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings, self._start, self._clock = settings, start, clock
        self.host = ssh.host_of(settings.url)
        self._not_before_s, self._pause_s = 0.0, FIRST_PAUSE_S
        self._last: WarmcellError | None = None

    def open(self, say: Callable[[str], None], *, patient: bool = False, with_terminal: bool = False) -> Entrance:
        """Return where the gateway is reached; it is started, and warmcell brought, where need be.

        Args:
            say: Told in a sentence what takes time.
            patient: Whether this is one of many attempts: then the pause after a failure is kept.
            with_terminal: Whether ssh may ask the user at the terminal.

        Raises:
            RuntimeUnavailable: It cannot be reached; the message says why in words.
        """
        if patient and self._last is not None and self._clock() < self._not_before_s:
            raise RuntimeUnavailable(self._last.message, self._last.hint)
        try:
            found = self._opened(say, with_terminal)
        except WarmcellError as error:
            self._last, self._not_before_s = error, self._clock() + self._pause_s
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            raise
        self._last, self._pause_s = None, FIRST_PAUSE_S
        return found

    def _opened(self, say: Callable[[str], None], with_terminal: bool) -> Entrance:
        link = sshlink.link_to(self.host, self._settings.ssh, self._settings.home)
        say(f"connecting to {self.host.name}")
        was_there = link.up(with_terminal)
        say(f"looking for the runtime on {self.host.name}")
        try:
            found = self._arrived(link, say)
        except NotRunning:
            raise
        except RuntimeUnavailable:
            # A connection that answers here may be dead on the way; one that was just made is not.
            if not was_there or not link.renewed(with_terminal):
                raise
            found = self._arrived(link, say)
        return Entrance(link.forwarded(found.unix), found.token, self.host.url)

    def _arrived(self, link: sshlink.Link, say: Callable[[str], None]) -> arrival.Arrived:
        return arrival.arrive(link.ssh, say) if self._start else arrival.look(link.ssh)
