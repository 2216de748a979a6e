"""Which files a cell means: its text -> the literal paths that it reads. Nothing here looks at a disk.

    source -> any quoted text like a path? -> syntax tree -> literals, joined ones together -> paths, in order

A literal counts where a call reads a file by it, or where it has a separator or an extension. What the cell writes is
not among them, nor addresses, patterns and texts that are filled in later: whoever asks whether a path exists gets a
few that do not, and misses few that do.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import lru_cache

from jupyter_ext import lines

READERS = frozenset({
    "open", "load", "load_file", "loadtxt", "genfromtxt", "fromfile", "memmap", "open_memmap", "imread",
    "Path", "PosixPath", "from_file", "from_pretrained", "listdir", "scandir", "walk", "File", "ZipFile", "ExcelFile",
    "ImageFolder", "load_from_disk", "open_dataset", "run_path", "getsize", "chdir",
})  # fmt: skip
"""Calls whose first argument is a path even where it looks like a plain word; and all that begin with `read_`."""

WRITERS = frozenset({
    "save", "savez", "savez_compressed", "savetxt", "savefig", "dump", "write_text", "write_bytes", "imwrite", "imsave",
    "mkdir", "makedirs", "touch", "unlink", "remove", "rmdir", "rmtree", "rename", "replace", "save_pretrained",
    "save_file", "save_model", "tofile", "save_to_disk", "exists", "is_file", "is_dir", "isfile", "isdir",
})  # fmt: skip
"""Calls that make, remove or ask after the paths in them, or methods of such a path; and all that begin with `to_`."""

_NEVER = frozenset({"compile", "match", "fullmatch", "search", "sub", "subn", "findall", "finditer", "split", "rsplit",
                    "format", "strftime", "strptime", "import_module", "glob", "rglob", "iglob", "print", "join",
                    "startswith", "endswith"})  # fmt: skip
_OPENERS = frozenset({"open", "fdopen", "File", "ZipFile", "TarFile", "memmap", "open_memmap", "HDFStore"})
_WRITE_MODE = re.compile(r"r?b?[wxa]\d?[bt]?\+?[bt]?|rb?\+b?|w:\w+")
_KEYWORDS = frozenset({"file", "filename", "filepath", "filepath_or_buffer", "fname", "fp", "io", "path", "root",
                       "data_dir", "data_files"})  # fmt: skip
_LIKELY = re.compile(r"""["'][^"'\n]*[./~][^"'\n]*["']|["']\s*\)|["']\s*,|^\s*[!%]""", re.M)
_EXTENSION = re.compile(r"[^/]\.[A-Za-z][A-Za-z0-9]{0,7}$")
_NO_PATH = re.compile(r"://|[\n\r\t\0*?<>|{}]|%[sdrif(]|\\[dwsSDWb.]|^(?:mailto|data|s3|gs):")
_LONGEST = 1024


@lru_cache(maxsize=64)
def literal_paths(source: str) -> tuple[str, ...]:
    """Return the literal paths that a cell reads, each once.

    Args:
        source: The cell's text; one that does not compile means no file.
    """
    if not _LIKELY.search(source):
        return ()
    try:
        tree = lines.parse(source)
    except SyntaxError:
        return ()
    finder = _Finder()
    finder.visit(tree)
    return tuple(path for path in finder.read if path not in finder.written)


class _Finder(ast.NodeVisitor):
    """Walks a cell and notes the paths in it."""

    def __init__(self) -> None:
        self.read: dict[str, None] = {}
        self.written: set[str] = set()

    def visit_Constant(self, node: ast.Constant) -> None:
        self._note(node.value)

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a text that stands alone is a comment
            self.visit(node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                self.visit(part.value)
        if all(isinstance(part, ast.Constant) for part in node.values):
            self._note("".join(part.value for part in node.values if isinstance(part, ast.Constant)))

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self.visit(node.value)
        if not isinstance(node.slice, ast.Constant):
            self.visit(node.slice)

    def visit_Compare(self, node: ast.Compare) -> None:
        for part in (node.left, *node.comparators):
            if not isinstance(part, ast.Constant):
                self.visit(part)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        whole = joined(node)
        if whole is not None:
            self._note(whole, is_path=True)
        elif isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Constant):
            self.visit(node.right)  # "%s.csv" % name
        elif isinstance(node.op, (ast.Add, ast.Div)):
            self._visit_parts(node)
        else:
            self.generic_visit(node)

    def _visit_parts(self, node: ast.BinOp) -> None:
        """Look into a path or a text that is put together from parts; the parts themselves are none."""
        for part in (node.left, node.right):
            if isinstance(part, ast.BinOp) or not (isinstance(part, ast.Constant) or joined(part) is not None):
                self.visit(part)

    def visit_Call(self, node: ast.Call) -> None:
        if lines.magic(node) is not None:
            self._note_command(node)
            return
        whole, name = joined(node), _name(node.func)
        if whole is not None:
            self._note(whole, is_path=True)
        elif name in WRITERS or name.startswith("to_") or _writes(node):
            self._note_written(node)
        elif name in _NEVER:
            self._visit_calls(node)
        else:
            self._visit_arguments(node, name in READERS or name.startswith("read_"))

    def _visit_arguments(self, node: ast.Call, reads: bool) -> None:
        self.visit(node.func)
        for place, argument in enumerate(node.args):
            whole = joined(argument)
            if reads and place == 0 and whole is not None:
                self._note(whole, is_path=True)
            else:
                self.visit(argument)
        for keyword in node.keywords:
            whole = joined(keyword.value)
            if whole is not None and keyword.arg in _KEYWORDS:
                self._note(whole, is_path=True)
            else:
                self.visit(keyword.value)

    def _visit_calls(self, node: ast.Call) -> None:
        """Look into a call whose own texts are no paths."""
        for part in (node.func.value if isinstance(node.func, ast.Attribute) else node.func, *node.args):
            if not isinstance(part, (ast.Constant, ast.JoinedStr)) and joined(part) is None:
                self.visit(part)

    def _note_written(self, node: ast.Call) -> None:
        owner = [node.func.value] if isinstance(node.func, ast.Attribute) else []
        for part in (*owner, *node.args, *(keyword.value for keyword in node.keywords)):
            whole = joined(part)
            if whole is not None:
                self.written.add(whole)
            else:
                self.visit(part)

    def _note_command(self, node: ast.Call) -> None:
        """Look at the words of a `!` or `%` line."""
        for argument in node.args:
            text = argument.value if isinstance(argument, ast.Constant) else ""
            words = list(_words(text)) if isinstance(text, str) else []
            for before, word in zip(["", *words], words, strict=False):
                if not before.endswith(">") and not word.startswith((">", "-")):
                    self._note(word)

    def _note(self, value: object, is_path: bool = False) -> None:
        if isinstance(value, str) and _may_be_path(value) and (is_path or _looks_like_path(value)):
            self.read.setdefault(value)


def joined(node: ast.AST) -> str | None:
    """Return the literal path that an expression makes: a text, `Path(text)`, `Path(a) / b`, `os.path.join(a, b)`."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        parts = [joined(node.left), joined(node.right)]
    elif isinstance(node, ast.Call) and not node.keywords and node.args and _makes_path(node):
        parts = [joined(argument) for argument in node.args]
    else:
        return None
    texts = [part for part in parts if part is not None]
    return "/".join(text.rstrip("/") or text for text in texts) if len(texts) == len(parts) else None


def _makes_path(node: ast.Call) -> bool:
    func, name = node.func, _name(node.func)
    return name in ("Path", "PurePath", "PosixPath") or (
        name == "join" and isinstance(func, ast.Attribute) and _name(func.value) in ("path", "osp")
    )


def _writes(node: ast.Call) -> bool:
    """Tell whether a call opens a file to write it: the mode is its second text, or the first of `path.open("w")`."""
    name = _name(node.func)
    modes = [*node.args[:2], *(keyword.value for keyword in node.keywords if keyword.arg == "mode")]
    return name in _OPENERS and any(
        isinstance(mode, ast.Constant) and isinstance(mode.value, str) and _WRITE_MODE.fullmatch(mode.value)
        for mode in modes
    )


def _name(func: ast.AST) -> str:
    return func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""


def _may_be_path(text: str) -> bool:
    return len(text) <= _LONGEST and bool(text.strip(" ./~\\")) and not _NO_PATH.search(text)


def _looks_like_path(text: str) -> bool:
    return "/" in text.strip("/") or text.startswith(("/", "~/")) or bool(_EXTENSION.search(text))


def _words(text: str) -> Iterator[str]:
    try:
        yield from shlex.split(text)
    except ValueError:
        yield from text.split()
