"""What there is once for all containers of an installation: its name, image, network, rooms and the worker's code.

    state directory -> installation                     ready() -> image, network, code -> Ready
    places(worker) -> directories that its container sees          clear(worker) -> nothing left of them
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from remote_runtime.engines import hardening, host, images, network, records, rooms
from remote_runtime.engines.base import CPU, EngineSettings
from remote_runtime.engines.contained import KEEPER, LOG
from remote_runtime.engines.docker_door import Door
from remote_runtime.engines.hardening import Places, Profile
from remote_runtime.wire import lane, limits
from remote_runtime.wire.failures import Failed

_LOG_BYTES = 4096
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ready:
    """What a container can be made from.

    Args:
        profile: With the name of an image that is there.
        code: Directory with the worker's code.
    """

    profile: Profile
    code: Path


class Site:
    """One installation's place on a host.

    Args:
        settings: Its directories.
        profile: What its containers are like.
    """

    def __init__(self, settings: EngineSettings, profile: Profile) -> None:
        self._settings, self.profile = settings, profile
        self.closing = False
        self.rooms = rooms.Rooms(settings.state / "rooms", hardening.user())

    @cached_property
    def installation(self) -> str:
        """A random name, kept in the state directory; containers that bear another one are not ours.

        It holds where it was made. A copy of the directory, as from a backup, makes one of its own: two gateways with
        one name would each remove the containers of the other.
        """
        path, here = self._settings.state / "installation", str(self._settings.state.resolve())
        with suppress(OSError):
            name, _, there = path.read_text().partition("\n")
            if name and there.strip() in ("", here):
                return name
        name = secrets.token_hex(8)
        records.write_text(path, f"{name}\n{here}\n")
        return name

    @cached_property
    def door(self) -> Door:
        """The way to the Docker engine."""
        return Door(self.profile.url, self.installation)

    @cached_property
    def has_gpus(self) -> bool:
        """Whether this host has real GPUs, which a container gets when it is made."""
        return any(not device.simulated and device.id != CPU for device in host.inventory((), None))

    @property
    def isolation(self) -> tuple[str, ...]:
        """What stands between two workers."""
        closed = self.profile.network == hardening.NONE or not network.possible()
        kept = ("container", "network") if closed else ("container",)
        return (*kept, "gvisor") if self.profile.runtime == "runsc" else kept

    def ready(self) -> Ready:
        """Make what is missing: image, network and its rules, the worker's code. Takes long the first time.

        Raises:
            Failed: Something of it cannot be had.
        """
        image = self.image(images.minor_version())
        if not self.door.image(image):
            self.door.pull(image)
        if self.closing:
            raise Failed("unavailable", "the engine is being closed", "start it again with `warmcell up`")
        if self.profile.network == hardening.INTERNET:
            self._network()
        try:
            code = rooms.shipped(records.private_directory(self._settings.state / "code"))
        except OSError as error:
            text = f"the worker's code could not be copied: {error}"
            raise Failed("unavailable", text, "see `warmcell logs`") from error
        return Ready(replace(self.profile, image=image), code)

    def image(self, python: str) -> str:
        """Return the name of the worker's image with a Python, built where it is not there; the admin's own as it is.

        Args:
            python: Minor version.

        Raises:
            Failed: It cannot be built.
        """
        if self.profile.image and python == images.minor_version():
            return self.profile.image
        asked = images.recipe(python, self.profile.variant, images.pins_here(python))
        return images.ensure(self.door, asked, _log.info)

    def _network(self) -> None:
        name, bridge = (f(self.installation) for f in (hardening.network_name, hardening.bridge_name))
        why_not = network.possible()
        if why_not:
            _log.warning("%s", why_not)
        else:
            network.close(bridge, self.profile.blocked)
        self.door.network(name, bridge, network.BRIDGE_OPTIONS)

    def retire(self) -> None:
        """Remove the network and its rules, where no container is left."""
        if self.profile.network != hardening.INTERNET or self.door.list():
            return
        self.door.remove_network(hardening.network_name(self.installation))
        if not network.possible():
            network.open_again(hardening.bridge_name(self.installation))

    # ---- a worker's directories ---------------------------------------------------------------------------

    def run(self, worker_id: str) -> Path:
        """Return the directory of a worker's sockets; a rename of its id would not fit a socket's path.

        Raises:
            Failed: The path is too long for a socket.
        """
        path = self._settings.runtime / f"w-{worker_id}"
        if len(os.fsencode(lane.path_of(str(path / KEEPER)))) > limits.UNIX_PATH_BYTES:
            text = f"the socket path {path / KEEPER} is longer than {limits.UNIX_PATH_BYTES} bytes"
            raise Failed("unavailable", text, "choose a shorter --runtime-dir")
        return path

    def places(self, worker_id: str, ready: Ready) -> Places:
        """Return the directories that a container sees, made where they are not there."""
        if self.has_gpus:
            locks = Path(hardening.LOCKS)
            locks.mkdir(exist_ok=True)
            with suppress(PermissionError):  # somebody else's, who has made it so
                locks.chmod(0o1777)
        run = records.private_directory(self.run(worker_id))
        rooms.give(run, hardening.user())
        return Places(run, self.rooms.make(worker_id), ready.code)

    def clear(self, worker_id: str, keep_log: bool) -> None:
        """Remove a worker's directories.

        Args:
            worker_id: Whose.
            keep_log: Keep what it wrote while it started.
        """
        if keep_log:
            records.private_directory(self._settings.state / "boot")
            with suppress(OSError):
                records.write_text(self._kept(worker_id), _tail(self.run(worker_id) / LOG))
        shutil.rmtree(self.run(worker_id), ignore_errors=True)
        self.rooms.remove(worker_id)

    def log(self, worker_id: str) -> str:
        """Return the last lines that a keeper wrote, "" where there are none."""
        return _tail(self.run(worker_id) / LOG) or _tail(self._kept(worker_id))

    def _kept(self, worker_id: str) -> Path:
        return self._settings.state / "boot" / f"{worker_id}.log"


def _tail(path: Path) -> str:
    """Return the end of a file; a link is not followed, for a worker's code may have put it there."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LOG_BYTES))
            return file.read().decode(errors="replace").strip()
    except OSError:
        return ""
