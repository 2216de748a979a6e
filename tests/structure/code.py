"""The product's source as a graph of imports, read with `ast`; nothing is imported or run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("warmcell", "jupyter_ext", "kernel_proxy", "remote_runtime")


@dataclass(frozen=True)
class Import:
    """One import statement's target.

    Args:
        module: Dotted name of what is imported.
        line: Line number.
        eager: Whether it stands at module level, so that it runs on import.
    """

    module: str
    line: int
    eager: bool


@lru_cache(maxsize=1)
def sources() -> dict[str, Path]:
    """Return module name -> file for all product code that is written by hand."""
    found = {}
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            if "_pb2" in path.name:
                continue
            parts = list(path.relative_to(ROOT).with_suffix("").parts)
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(path.read_text(), str(path))


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def _walk(node: ast.AST, eager: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if _is_type_checking(child):
            continue
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, eager) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = child.module or ""
            yield Import(base, child.lineno, eager)
            yield from (Import(f"{base}.{alias.name}", child.lineno, eager) for alias in child.names)
        inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        yield from _walk(child, eager and not inside)


def imports(name: str) -> list[Import]:
    """Return what a module imports, inside functions too."""
    return list(_walk(tree(sources()[name]), True))


def graph(eager_only: bool) -> dict[str, set[str]]:
    """Return module -> modules of the product that it imports."""
    known = sources()
    return {
        name: {i.module for i in imports(name) if i.module in known and i.module != name and (i.eager or not eager_only)}
        for name in known
    }


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield every function with its module's name."""
    for name, path in sources().items():
        for node in ast.walk(tree(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield name, node


def own_length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return a function's length in lines without its docstring."""
    first = node.body[0]
    doc = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return node.end_lineno - node.lineno + 1 - (first.end_lineno - first.lineno + 1 if doc else 0)
