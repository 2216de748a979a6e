"""Local modules of the notebook: kept on disk by content, laid out as folders, put on the path.

    Sources(ask)             -> lacking -> what is not kept, what is not installed
    Sources(contents, roots) -> keep    -> blobs/DIGEST, trees/DIGEST
    Run.sources              -> use     -> path/ROOT/..., sys.path, stale modules imported again

What is kept outlives the user process: one that takes its place finds everything there. A run names the tree it
needs, so that two notebooks on one session, each with modules of its own, take turns.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import sources
from remote_runtime.wire.failures import Failed
from remote_runtime.worker.modules import Importer

KEPT_TREES = 16
"""Trees of which the contents are kept: the last ones of every notebook on the session."""

_AGAIN = "run the cell again: it sends its local modules anew"


class Sources:
    """The local modules of a session.

    Args:
        namespace: The user's.
    """

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace = namespace
        self._folder: Path | None = None
        self._importer: Importer | None = None
        self._trouble: Failed | None = None
        self._tree = ""
        self._files: dict[str, bytes] = {}
        self._pending: set[str] = set()
        self._tops: dict[str, bool] = {}

    @property
    def modules(self) -> list[str]:
        """Top-level modules of the tree that is on the path."""
        return sorted(self._tops)

    def settle(self, directory: str) -> None:
        """Keep sources in a session's working directory from now on."""
        self._folder = Path(directory, sources.FOLDER, "sources").absolute()

    def lacking(self, asked: pb.Sources) -> pb.Sources:
        """Tell which contents of a tree are not kept, and which modules cannot be imported here."""
        digests = dict.fromkeys(file.digest for root in asked.roots for file in root.files)
        lacking = [digest for digest in digests if not self._blob(digest).is_file()]
        return pb.Sources(lacking=lacking, modules=[name for name in asked.modules if not self._is_installed(name)])

    def keep(self, sent: pb.Sources) -> None:
        """Keep contents, and the tree that they belong to once its roots are told.

        Raises:
            Failed: They are damaged, or the disk is full; a run that needs them fails the same way.
        """
        try:
            for part in sent.contents:
                if sources.digest_of(part.content) != part.digest:
                    raise Failed("protocol", "the source of a local module arrived damaged", _AGAIN)
                _write(self._blob(part.digest), part.content)
            if sent.tree:
                _checked(sent)
                _write(self._place("trees") / sent.tree, sent.SerializeToString())
                self._trouble = None
        except Failed as trouble:
            self._trouble = trouble
            raise

    def use(self, tree: str) -> list[str]:
        """Put a tree on the path in the place of the one before; nothing happens where it is there already.

        Args:
            tree: Its digest; empty leaves what is there.

        Returns:
            What the user should know, in sentences.

        Raises:
            Failed: It is not kept here, or the disk is full.
        """
        if not tree or tree == self._tree:
            return []
        wanted = self._read(tree)
        base, importer = self._place("path"), self._ready_importer()
        files, names, roots = {}, {}, []
        for root in wanted.roots:
            folder = base / hashlib.sha256(root.path.encode()).hexdigest()[:12]
            roots.append(str(folder))
            for file in root.files:
                path = str(folder / file.path)
                files[path], names[path] = file.digest, _told(root.path, file.path)
        self._tree = ""
        changed = {path for path in {*self._files, *files} if self._files.get(path) != files.get(path)}
        self._pending |= changed  # an interrupt may come before all is imported again
        self._write_tree(changed, files)
        importer.names = {**importer.names, **names}
        importer.place(roots)
        tops = _tops(base, files)
        came_or_went = _came_or_went(self._tops, tops)
        notices = importer.renew(_with_readers(self._pending, files), came_or_went, self._namespace)
        importer.names, self._tops, self._tree = names, tops, tree
        self._pending.clear()
        with suppress(OSError):  # what cannot be tidied up stays
            self._prune()
        return notices

    def _ready_importer(self) -> Importer:
        """Return the importer, made on first use; what another process has laid out is taken away then."""
        if self._importer is None:
            base = self._place("path")
            shutil.rmtree(base, ignore_errors=True)
            self._importer = Importer(str(base))
            self._importer.install()
        return self._importer

    def _write_tree(self, changed: Iterable[str], files: dict[str, bytes]) -> None:
        for path in sorted(changed, key=lambda path: path in files):  # first what goes: a file may become a folder
            if path not in files:
                del self._files[path]
                Path(path).unlink(missing_ok=True)
                _remove_empty(Path(path).parent, self._place("path"))
            else:
                self._files.pop(path, None)
                _write(Path(path), self._content(files[path]))
                self._files[path] = files[path]

    def _content(self, digest: bytes) -> bytes:
        try:
            return self._blob(digest).read_bytes()
        except OSError as error:
            lost = Failed("not-found", "the session no longer has the source of a local module", _AGAIN)
            raise self._trouble or lost from error

    def _read(self, tree: str) -> pb.Sources:
        try:
            path = self._place("trees") / os.path.basename(tree)
            wanted = pb.Sources.FromString(path.read_bytes())
            os.utime(path)
        except (OSError, DecodeError) as error:
            lost = Failed("not-found", "the session does not have the local modules of this cell", _AGAIN)
            raise self._trouble or lost from error
        for root in wanted.roots:
            for file in root.files:
                if not self._blob(file.digest).is_file():
                    self._content(file.digest)
        return wanted

    def _prune(self) -> None:
        """Forget old trees, and contents that belong to no other."""
        trees = sorted(self._place("trees").iterdir(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        if len(trees) <= KEPT_TREES:
            return
        kept = [pb.Sources.FromString(path.read_bytes()) for path in trees[:KEPT_TREES]]
        used = {file.digest.hex() for tree in kept for root in tree.roots for file in root.files}
        for path in [*trees[KEPT_TREES:], *(p for p in self._place("blobs").iterdir() if p.name not in used)]:
            path.unlink(missing_ok=True)

    def _is_installed(self, name: str) -> bool:
        if name in sys.modules:
            return True
        try:
            return importlib.util.find_spec(name) is not None
        except (ImportError, ValueError, AttributeError):
            return False

    def _blob(self, digest: bytes) -> Path:
        return self._place("blobs") / digest.hex()

    def _place(self, what: str) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="warmcell-sources-"))
        return self._folder / what


def _checked(sent: pb.Sources) -> None:
    if sent.tree != sources.tree_of(sent.roots):
        raise Failed("protocol", "the list of local modules arrived damaged", _AGAIN)
    for root in sent.roots:
        for file in root.files:
            if not sources.is_inside(file.path):
                raise Failed("protocol", f"a local module lies outside its folder: {file.path!r}", _AGAIN)


@contextmanager
def _on_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "the worker's disk is full" if full else f"the worker cannot write {path}: {error.strerror}"
        hint = "free space there, or in the session's directory" if full else "look at the session's directory"
        raise Failed("disk-full" if full else "internal", f"{what}, so local modules cannot be kept", hint) from error


def _write(path: Path, content: bytes) -> None:
    with _on_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_name(f".{path.name}.{os.getpid()}")
        half.write_bytes(content)
        half.replace(path)


def _remove_empty(folder: Path, base: Path) -> None:
    while folder != base and base in folder.parents:
        try:
            folder.rmdir()
        except OSError:  # something lies in it
            return
        folder = folder.parent


def _told(root: str, path: str) -> str:
    """Return a file's path as the kernel's system writes it."""
    mark = "\\" if "\\" in root else "/"
    return root.rstrip(mark) + mark + path.replace("/", mark)


def _tops(base: Path, files: Iterable[str]) -> dict[str, bool]:
    """Return the top-level modules among files -> whether each is a module or package of its own."""
    found: dict[str, bool] = {}
    for path in files:
        _, first, *rest = Path(path).relative_to(base).parts
        if path.endswith(".py"):
            name = first if rest else first.removesuffix(".py")
            found[name] = found.get(name, False) or not rest or rest == ["__init__.py"]
    return found


def _came_or_went(before: dict[str, bool], after: dict[str, bool]) -> set[str]:
    """Return the top-level modules that are new or gone; parts of namespace packages add to what is there."""
    gone = set(before) - set(after)
    return gone | {name for name, is_own in after.items() if is_own and not before.get(name)}


def _with_readers(changed: set[str], files: Iterable[str]) -> set[str]:
    """Add to changed data files the modules that may have read them: those of the folder, and of folders above."""
    folders = {os.path.dirname(path) + os.sep for path in changed if not path.endswith(".py")}
    sources_of = [(path, os.path.dirname(path) + os.sep) for path in files if path.endswith(".py")] if folders else []
    return changed | {path for path, own in sources_of if any(folder.startswith(own) for folder in folders)}
