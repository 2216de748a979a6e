"""What both ends know of local modules that travel as source: digests, paths, and what a text imports.

    bytes -> digest_of;  roots -> tree_of;  source text -> imports_of -> dotted names

Imports are read line by line and not from a syntax tree: it is fifty times faster, it also reads a file that
does not compile, and a line of a docstring that looks like an import only makes one module too many count.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from importlib.util import resolve_name

from remote_runtime.wire import messages_pb2 as pb

FOLDER = ".warmcell"
"""Where a worker keeps what is not the user's, inside the session's working directory."""

_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_FROM = re.compile(r"from\s*(\.*)\s*([\w.]*)\s+import\b|from\s*(\.+)\s*import\b")
_BY_CALL = re.compile(r"""import_module\(\s*['"]([\w.]+)['"]""")


def digest_of(content: bytes) -> bytes:
    """Return what a file's content is known by."""
    return hashlib.sha256(content).digest()


def tree_of(roots: Iterable[pb.SourceRoot]) -> str:
    """Return what a tree is known by."""
    found = hashlib.sha256()
    for root in roots:
        found.update(root.SerializeToString(deterministic=True))
        found.update(b"\0")
    return found.hexdigest()


def imports_of(source: str, package: str = "") -> frozenset[str]:
    """Return the modules that a source text imports, anywhere in it.

    Args:
        source: The text; it need not compile.
        package: The package that relative imports start from; empty leaves them out.
    """
    if "import" not in source:
        return frozenset()
    lines = source.replace("\\\n", " ").splitlines()
    parts = (part.strip() for line in lines if "import" in line for part in re.split("[;:]", line.partition("#")[0]))
    found = {name for part in parts for name in _imported(part, package)}
    return frozenset(found.union(_BY_CALL.findall(source) if "import_module" in source else ()))


def _imported(statement: str, package: str) -> Iterator[str]:
    if statement.startswith("import"):
        words = statement.removeprefix("import")
        names = [part.partition(" as ")[0].strip() for part in words.split(",")] if words[:1].isspace() else []
        yield from filter(_NAME.fullmatch, names)
    elif (found := _FROM.match(statement)) is not None:
        dots, name = found[1] or found[3] or "", found[2] or ""
        if not dots and name:
            yield name
        elif dots and package:
            yield from _relative(dots + name, package)


def _relative(name: str, package: str) -> Iterator[str]:
    try:
        yield resolve_name(name, package)
    except ImportError:  # more dots than packages: an error of the text's own, shown where it is imported
        return


def is_inside(path: str) -> bool:
    """Tell whether a file's path stays under its root."""
    parts = path.split("/")
    return bool(path) and not path.startswith("/") and "\\" not in path and not {"", ".", ".."} & set(parts)
