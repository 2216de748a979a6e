"""Volumes as a user names them: directories at the runtime that outlive sessions, and how files come and go.

    Volume.from_name -> the gateway: there, or made
    put, get, ls     -> a session of a moment, that sees the volume -> `uploads`, `downloads`, `folder`
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from kernel_proxy import downloads, uploads
from kernel_proxy.errors import NotFound, SettingsError
from kernel_proxy.folder import Folder
from kernel_proxy.runtime import Runtime, connect
from kernel_proxy.uploads import Moved, Progress
from kernel_proxy.wishes import Wishes
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.settingnames import name_problem
from remote_runtime.wire.specs import Environment, VolumeMount

_AT = "volume"
_CPU = "cpu"


@dataclass(frozen=True)
class Volume:
    """A named directory at a runtime; all sessions that have it see the same files.

    Args:
        name: Its name, one user's own.
        runtime: Where it is.
    """

    name: str
    runtime: Runtime = field(repr=False, compare=False)

    @classmethod
    def from_name(cls, name: str, *, create_if_missing: bool = False, runtime: Runtime | None = None) -> Volume:
        """Return a volume that is there, or is made.

        Args:
            name: Of the volume.
            create_if_missing: Whether one that is not there is made.
            runtime: Which; None for the one that the settings name.

        Raises:
            SettingsError: It cannot have that name.
            NotFound: It is not there.
        """
        wrong = name_problem(name)
        if wrong:
            raise SettingsError(wrong, "`warmcell volume ls` shows the names")
        reached = runtime or connect()
        make = pb.VolumeMake(name=name, create_if_missing=create_if_missing)
        reached.volumes(pb.VolumesRequest(make=make))
        return cls(name, reached)

    def at(self, target: str, *, read_only: bool = False) -> VolumeMount:
        """Return the volume as a session sees it, for `Environment.volumes`.

        Args:
            target: Path there; a relative one lies in the working directory.
            read_only: Whether the session may not change it.
        """
        return VolumeMount(self.name, target, read_only)

    def commit(self) -> None:
        """Wait until all that was written into it is on the disk.

        Sessions need no commit to see each other's files: a volume is one directory, and they see it as it is.
        """
        self.runtime.volumes(pb.VolumesRequest(commit=self.name))

    def reload(self) -> None:
        """Do nothing: what others have written is seen at once."""

    def listdir(self, path: str = "") -> list[pb.FileInfo]:
        """Return what a folder of it holds, in the order of the names.

        Raises:
            NotFound: There is no such folder.
        """
        with self._folder() as folder:
            info = self._require(folder, path)
            return folder.list(_inside(path)) if info.kind == "folder" else [info]

    def put(self, here: str, there: str = "", on_progress: Progress = lambda *_: None) -> Moved:
        """Send a file or a folder into it; what is there already is not sent.

        Args:
            here: The path here.
            there: Its path in the volume, or the folder that it goes into where that ends with `/`; empty for its
                own name.
            on_progress: As for `uploads.upload`.
        """
        with self._folder() as folder:
            return uploads.upload(folder, here, _inside(there) if there.strip("/") else f"{_AT}/", on_progress)

    def get(self, there: str, here: str = "", force: bool = False, on_progress: Progress = lambda *_: None) -> Moved:
        """Bring a file or a folder here.

        Args:
            there: Its path in the volume.
            here: Where it goes; empty for its own name.
            force: Whether files here that differ are overwritten.
            on_progress: As for `downloads.download`.
        """
        with self._folder() as folder:
            self._require(folder, there)
            own = there.strip("/").rpartition("/")[2] or self.name
            return downloads.download(folder, _inside(there), here or own, force, on_progress)

    def remove(self) -> None:
        """Remove it with all that is in it."""
        self.runtime.volumes(pb.VolumesRequest(remove=self.name))

    def _require(self, folder: Folder, path: str) -> pb.FileInfo:
        try:
            return folder.require(_inside(path))
        except NotFound:
            hint = f"`warmcell volume ls {self.name}` lists what is there"
            raise NotFound(f"there is no {path} in the volume {self.name}", hint) from None

    @contextmanager
    def _folder(self) -> Iterator[Folder]:
        """Open a session that sees the volume, for as long as this lasts."""
        wishes = Wishes(Environment(volumes=(self.at(_AT),)))
        name = f"volume-{self.name}-{uuid.uuid4().hex[:8]}"
        session = self.runtime.open(_CPU, name, "", {}, wishes=wishes)
        try:
            yield Folder(session)
        finally:
            session.close()
            self.runtime.release(session.session_id, force=True)


def _inside(path: str) -> str:
    """Return a path of the volume as the session sees it; `/` at its end is kept, and means a folder."""
    return f"{_AT}/{path.lstrip('/')}" if path.strip("/") else _AT
