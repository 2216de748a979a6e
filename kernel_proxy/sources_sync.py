"""What one session has of the notebook's local modules, and what it must be sent.

    Tree -> the same as last time: nothing
         -> another: contents that are new -> the tree -> its digest, which the run names

The first time the session is asked what it lacks, for it may have been used before. From then on what is new follows
from what was sent, and nobody waits: everything goes ahead of the run on its stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kernel_proxy.errors import CaptureError, TargetBusy
from kernel_proxy.session import Session
from kernel_proxy.sources import Tree
from remote_runtime.wire import messages_pb2 as pb

MESSAGE_BYTES = 1 << 20
"""Contents are sent in messages of about this size, so that an interrupt passes between them."""


class Shipment:
    """The local modules of one session.

    Attributes:
        names: Top-level modules that its cells have used; they are kept up to date from then on.
    """

    def __init__(self) -> None:
        self.names: frozenset[str] = frozenset()
        self._memory = ""
        self._sent: Tree | None = None
        self._installed: set[str] = set()

    def forget(self) -> None:
        """Ask the session again what it has."""
        self._sent = None
        self._installed.clear()

    def bring(self, session: Session, memory: str, tree: Tree, required: frozenset[str]) -> int:
        """Send what a session lacks.

        Args:
            session: The session.
            memory: Names its present memory; another one has nothing that was sent before.
            tree: What its next run needs.
            required: Modules with compiled parts that the run needs: they must be installed there.

        Returns:
            How many files were sent.

        Raises:
            CaptureError: A module has compiled parts and is not installed there.
        """
        if memory != self._memory:
            self._memory = memory
            self.forget()
        unsure = required - self._installed
        if tree is self._sent and not unsure:
            return 0
        lacking = self._lacking(session, tree, unsure)
        if self._sent is not None and self._sent.digest == tree.digest:
            self._sent = tree
            return 0
        for message in _messages(tree, lacking):
            session.keep_sources(message)
        self._sent = tree
        return sum(file.digest in lacking for file in tree.files.values())

    def _lacking(self, session: Session, tree: Tree, unsure: frozenset[str]) -> set[bytes]:
        known = set(tree.contents) if self._sent is None else tree.contents.keys() - self._sent.contents.keys()
        if self._sent is not None and not unsure:
            return known
        try:
            reply = session.ask_sources(pb.Sources(ask=True, roots=tree.roots, modules=sorted(unsure)))
        except TargetBusy:  # it runs another cell: rather send too much than wait for its end
            return known
        self._installed |= unsure - set(reply.modules)
        if reply.modules:
            raise compiled(reply.modules[0], tree)
        return set(reply.lacking)


def compiled(name: str, tree: Tree) -> CaptureError:
    """Return the error for a module that has compiled parts and is not installed there."""
    user = tree.user_of(name)
    used = f", which {user.path} imports," if user is not None else ""
    return CaptureError(
        f"local module `{name}`{used} has compiled parts, which do not travel: {tree.compiled[name]}",
        f"install `{name}` on the worker: in its image, or with `%pip install` in a `%%gpu` cell",
    )


def _messages(tree: Tree, lacking: Iterable[bytes]) -> Iterator[pb.Sources]:
    """Yield contents, some at a time, and at last the tree."""
    message, size_bytes = pb.Sources(), 0
    for digest in lacking:
        content = tree.contents[digest]
        if size_bytes and size_bytes + len(content) > MESSAGE_BYTES:
            yield message
            message, size_bytes = pb.Sources(), 0
        message.contents.add(digest=digest, content=content)
        size_bytes += len(content)
    if size_bytes:
        yield message
    yield pb.Sources(tree=tree.digest, roots=tree.roots)
