"""Access to the namespace that the text of a cell does not show: `exec`, `globals()`, `df.query("a > @t")`.

Nothing here can be planned surely. What is met becomes a warning that names `-i`, with the names that a
literal string gives away.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterable
from dataclasses import dataclass

from jupyter_ext.scopes import bound_names

_RUNS_TEXT = frozenset({"exec", "eval"})
_WHOLE_NAMESPACE = frozenset({"globals", "locals", "vars"})
_SHELL_NAMESPACE = frozenset({"user_ns", "user_global_ns"})
_FRAME_METHODS = frozenset({"query", "eval"})
_AT_NAME = re.compile(r"@([A-Za-z_]\w*)")


@dataclass(frozen=True)
class Access:
    """One place of dynamic access.

    Args:
        name: The name whose being rebound by the cell would make this an ordinary call.
        warning: A sentence for the user.
        binds: Names that a literal string shows to be bound.
    """

    name: str
    warning: str
    binds: frozenset[str] = frozenset()


def access(node: ast.Call) -> Access | None:
    """Return the dynamic access that a call makes, None for an ordinary call."""
    func = node.func
    if isinstance(func, ast.Name):
        if func.id in _RUNS_TEXT and len(node.args) == 1 and not node.keywords:
            return _runs_text(func.id, node.args[0])
        if func.id in _WHOLE_NAMESPACE and not node.args and not node.keywords:
            return Access(func.id, warning(f"{func.id}()", ()))
    elif isinstance(func, ast.Attribute) and func.attr in _FRAME_METHODS and node.args:
        return _frame_method(func, node.args[0])
    return None


def shell_namespace(node: ast.Attribute) -> str | None:
    """Return a warning where `get_ipython().user_ns` is used, else None."""
    return warning(f"get_ipython().{node.attr}", ()) if node.attr in _SHELL_NAMESPACE else None


def namespace_item(node: ast.Subscript) -> str | None:
    """Return `y` for `globals()["y"]` and its like, else None."""
    value, key = node.value, node.slice
    if not (isinstance(key, ast.Constant) and isinstance(key.value, str)):
        return None
    if isinstance(value, ast.Attribute) and value.attr in _SHELL_NAMESPACE:
        return key.value
    found = access(value) if isinstance(value, ast.Call) else None
    return key.value if found is not None and found.name in _WHOLE_NAMESPACE else None


def warning(what: str, names: Iterable[str]) -> str:
    """Return the sentence about names that the text does not show, with the ones that can be guessed."""
    guessed = ",".join(sorted(names))
    if guessed:
        return f"`{what}` uses `{guessed}` in a way that capture does not follow: pass it with `-i {guessed}`"
    return f"`{what}` may use names that the text does not show: pass them with `-i NAME`"


def _runs_text(name: str, argument: ast.expr) -> Access:
    tree = _parsed(argument)
    if tree is None:
        return Access(name, warning(f"{name}(...)", ()))
    binds = frozenset(bound_names(tree.body)) if name == "exec" else frozenset()
    reads = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    return Access(name, warning(f"{name}(...)", reads - binds - set(dir(builtins))), binds)


def _parsed(argument: ast.expr) -> ast.Module | None:
    if not (isinstance(argument, ast.Constant) and isinstance(argument.value, str)):
        return None
    try:
        return ast.parse(argument.value.strip())
    except (SyntaxError, ValueError):
        return None


def _frame_method(func: ast.Attribute, argument: ast.expr) -> Access | None:
    parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
    text = "".join(p.value for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, str))
    owner = func.value.id if isinstance(func.value, ast.Name) else "..."
    if owner in ("pd", "pandas") and text:
        return Access(func.attr, _runs_text("eval", argument).warning.replace("`eval(", f"`{owner}.eval(", 1))
    names = set(_AT_NAME.findall(text))
    return Access(func.attr, warning(f"{owner}.{func.attr}(...)", names)) if names else None
