"""A session's working directory as its client sees it: requests with typed answers, several of them under way.

    Folder.stat, list, ask -> one request, one answer
    Window.put, put, ...   -> requests under way, bounded; answers are taken in their order

The keeper answers, so a running cell delays nothing. A stream that breaks is resumed below this, and what was under
way is asked again: every request may come twice.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from kernel_proxy.asked import Asked
from kernel_proxy.errors import FilesError, NotFound, RunTimeout
from kernel_proxy.localfiles import near, shown
from kernel_proxy.session import Session
from remote_runtime.wire import messages_pb2 as pb

UNDER_WAY_COUNT = 6
"""Pieces of a file that travel at once: enough to keep a fast line busy, and little memory."""

STAT_COUNT, DIGEST_COUNT = 500, 32
"""Paths in one request: those that are only looked at, and those that are read whole."""


class Folder:
    """The working directory of an open session.

    Args:
        session: The session.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def start(self, **body: Any) -> Asked:
        """Ask, and return at once; the one argument is a field of `pb.FileRequest`."""
        return self._session.ask_files(pb.FileRequest(**body))

    def ask(self, timeout_s: float | None = None, **body: Any) -> pb.FileReply:
        """Ask and wait for the answer.

        Raises:
            FilesError: The path cannot be used, or leads out of the directory.
            NotFound: It is not there.
            RunTimeout: There was no answer in time.
            WarmcellError: The session is lost.
        """
        try:
            return self.start(**body).result(timeout_s).message.files
        except TimeoutError:
            what = f"the session did not answer about its files within {timeout_s:g} s"
            raise RunTimeout(what, "try again") from None

    def list(self, path: str, timeout_s: float | None = None) -> list[pb.FileInfo]:
        """Return what a folder holds, in the order of the names."""
        found: list[pb.FileInfo] = []
        while True:
            after = found[-1].path if found else b""
            reply = self.ask(timeout_s, list=pb.FileList(path=os.fsencode(path), after=after))
            found += reply.infos
            if not (reply.more and reply.infos):
                return found

    def stat(self, paths: Iterable[str], digest: bool = False) -> list[pb.FileInfo]:
        """Return what is known of paths, in their order.

        Args:
            paths: Relative to the directory, or absolute within it.
            digest: Whether files are read for their digest.
        """
        found: list[pb.FileInfo] = []
        window = Window(self)
        for batch in _batches(paths, DIGEST_COUNT if digest else STAT_COUNT):
            asked = pb.FileStat(paths=[os.fsencode(path) for path in batch], digest=digest)
            window.put(lambda reply: found.extend(reply.infos), stat=asked)
        window.drain()
        return found

    def seen_by_run(self, paths: Sequence[str], timeout_s: float | None = None) -> list[bool]:
        """Tell which paths a cell that runs now would find, inside the directory or not."""
        asked = pb.FileStat(paths=[os.fsencode(path) for path in paths], as_run=True)
        return [bool(info.kind) for info in self.ask(timeout_s, stat=asked).infos]

    def require(self, path: str) -> pb.FileInfo:
        """Return what is known of a file or folder.

        Raises:
            NotFound: It is not there; the hint names one that is spelled like it.
            FilesError: It leads out of the directory, or is neither.
        """
        info = self.stat([path])[0]
        if not info.kind:
            raise NotFound(f"there is no {shown(path)} in the session", self._near(path))
        if info.kind == "outside":
            hint = "give a path inside it: `%gpu ls` lists what is there"
            raise FilesError(f"{shown(path)} leads out of the session's working directory", hint)
        if info.kind == "other":
            raise FilesError(f"{shown(path)} in the session is {info.problem or 'neither a file nor a folder'}",
                             "`%gpu ls` lists what is there")  # fmt: skip
        return info

    def _near(self, path: str) -> str:
        parent, name = os.path.split(path.rstrip("/"))
        try:
            siblings = [os.fsdecode(info.path) for info in self.list(parent)]
        except (NotFound, FilesError):
            siblings = []
        return near(parent, name, siblings) or "`%gpu ls` lists what is there"


class Window:
    """Requests under way.

    Args:
        folder: Whom to ask.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._under_way: deque[tuple[Asked, Callable[[pb.FileReply], None]]] = deque()

    def put(self, take: Callable[[pb.FileReply], None], **body: Any) -> None:
        """Ask, once there is room for it.

        Args:
            take: Is given the answer, after those of earlier requests.
            **body: As for `Folder.start`.

        Raises:
            WarmcellError: An earlier request has failed.
        """
        while len(self._under_way) >= UNDER_WAY_COUNT:
            self._take_next()
        self._under_way.append((self._folder.start(**body), take))

    def drain(self) -> None:
        """Wait for all answers."""
        while self._under_way:
            self._take_next()

    def _take_next(self) -> None:
        future, take = self._under_way.popleft()
        take(future.result().message.files)


def _batches(paths: Iterable[str], count: int) -> Iterator[list[str]]:
    rest = iter(paths)
    while batch := list(islice(rest, count)):
        yield batch
