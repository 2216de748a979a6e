"""Warming ahead: while a header is typed, or after `%gpu use`, what its cell will need is started already.

    %%gpu A100 (typed), %gpu use A100 --thread--> the embedded runtime, started if need be --Warm--> a warm worker
    the cell comes -> how much of that time it did not have to wait

It takes no place in the queue, ends nobody's session and is no lease, so nobody is billed. Whatever goes wrong here is
said by the cell, if it still goes wrong then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass

from kernel_proxy.errors import WarmcellError
from kernel_proxy.runtime import connect
from kernel_proxy.settings import ALWAYS, NEVER, Settings
from kernel_proxy.wishes import NONE, Wishes
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.targets import parse_target

AGAIN_S = 120.0
"""A worker that was warmed for nobody may be gone: after so long the same is warmed anew."""

WARM_S = 120.0
"""How long a worker that is warmed ahead may take to start."""

WORTH_S = 0.2
"""Less than this saved is not worth a word."""


@dataclass
class _Warming:
    """One thing that was begun.

    Args:
        began_at: The monotonic clock.
        took_s: How long it took; None while it goes on.
        told: Whether a cell has been told of it.
    """

    began_at: float
    took_s: float | None = None
    told: bool = False


class Ahead:
    """Warms what cells will soon ask for; one per kernel.

    Args:
        settings: Where the runtime is.
        clock: Monotonic seconds.
    """

    def __init__(self, settings: Callable[[], Settings], clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._begun: dict[tuple[str, str], _Warming] = {}

    def begin(self, target: str, wishes: Wishes = NONE, asked: bool = False) -> threading.Thread | None:
        """Begin to warm a worker, unless that was begun a moment ago; returns at once.

        Args:
            target: As the cell will name it.
            wishes: What its session will be opened with.
            asked: The user asked for it, by `%gpu use`; else it was only typed, which reaches no remote runtime
                unless the settings say so.

        Returns:
            The thread that does it, None where there is nothing to do.
        """
        key, now = (target, wishes.environment.key), self._clock()
        begun = self._begun.get(key)
        if (begun is not None and now - begun.began_at < AGAIN_S) or not self._wanted(target, asked):
            return None
        self._begun[key] = warming = _Warming(now)
        thread = threading.Thread(target=self._warm, args=(target, wishes, warming), name="warmcell-ahead", daemon=True)
        thread.start()
        return thread

    def saved_s(self, target: str, wishes: Wishes = NONE) -> float | None:
        """Return once how long a cell need not wait that would have; None where that is nothing worth a word."""
        warming = self._begun.get((target, wishes.environment.key))
        if warming is None or warming.told:
            return None
        warming.told = True
        ago_s = self._clock() - warming.began_at
        saved_s = ago_s if warming.took_s is None else min(ago_s, warming.took_s)
        return saved_s if saved_s >= WORTH_S else None

    def _wanted(self, target: str, asked: bool) -> bool:
        try:
            settings = self._settings()
            parse_target(target)
        except (WarmcellError, ValueError):
            return False
        return settings.ahead == ALWAYS or (settings.ahead != NEVER and (asked or settings.embedded))

    def _warm(self, target: str, wishes: Wishes, warming: _Warming) -> None:
        with suppress(WarmcellError), closing(connect(self._settings())) as runtime:
            runtime.ask("Warm", pb.WarmRequest(target=target, environment=wishes.environment.wire), WARM_S)
            warming.took_s = self._clock() - warming.began_at
            return
        warming.told = True  # it came to nothing
