"""What a notebook chose for the cells that follow: `%gpu use` -> Defaults -> Connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernel_proxy.wishes import NONE, Wishes

if TYPE_CHECKING:
    from kernel_proxy.image import Image
    from remote_runtime.wire.specs import Environment


@dataclass(frozen=True)
class Defaults:
    """What `%gpu use` chose for this notebook; empty fields leave the choice to the settings.

    Args:
        target: Target of a cell that names none.
        session: Name of the session.
        idle_s: Seconds without a run after which the session is released; None leaves the setting.
        no_wait: Whether a held device is an error rather than waited for.
        wishes: What sessions are opened with.
        image: The image among the wishes, with what was added since; None for the runtime's own.
        later: What a session is made with that is opened when the ones of now are gone; None for the same.
        trust: What is taken from workers, one of `data.TRUSTS`.
    """

    target: str = ""
    session: str = ""
    idle_s: float | None = None
    no_wait: bool = False
    wishes: Wishes = NONE
    image: Image | None = None
    later: Environment | None = None
    trust: str = ""
