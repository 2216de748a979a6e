"""Which names belong to the notebook's namespace and which to a scope inside the cell.

A function, class, lambda, comprehension or type-parameter list of the cell is a `Scope`; its own names are
collected once, from its whole body, before anything inside is judged: Python decides the same way, so an
assignment on the last line of a function makes the name local on its first. `Scope.owner` then answers for
one name in one place: a global (`GLOBAL`), a class body's own (`CLASS`), or a function's local (`LOCAL`),
which is nobody else's business.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

GLOBAL, CLASS, LOCAL = "global", "class", "local"

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def mangle(name: str, class_name: str | None) -> str:
    """Return a name as Python stores it inside a class: `__x` in `class A` is `_A__x`."""
    if class_name is None or not name.startswith("__") or name.endswith("__") or "." in name:
        return name
    stripped = class_name.lstrip("_")
    return f"_{stripped}{name}" if stripped else name


@dataclass(eq=False)
class Scope:
    """One scope of the cell.

    Args:
        kind: 'module', 'function' or 'class'; comprehensions and type-parameter lists count as functions.
        parent: The scope around it, None for the cell itself.
        class_name: The class whose body this is in, for name mangling.
        sees_class: Whether names of a class right around it are visible, as for type parameters.
        bound: Names that its own statements bind.
        declared_global: Names under its `global` statements.
        declared_nonlocal: Names under its `nonlocal` statements.
    """

    kind: str
    parent: Scope | None = None
    class_name: str | None = None
    sees_class: bool = False
    bound: set[str] = field(default_factory=set)
    declared_global: set[str] = field(default_factory=set)
    declared_nonlocal: set[str] = field(default_factory=set)

    def owner(self, name: str) -> tuple[str, Scope]:
        """Return who owns a mangled name used in this scope: GLOBAL, CLASS or LOCAL, and the owning scope."""
        scope, innermost = self, True
        while scope.parent is not None:
            visible = scope.kind != "class" or innermost
            if visible and name in scope.declared_global:
                break
            if visible and name in scope.bound and name not in scope.declared_nonlocal:
                return (CLASS if scope.kind == "class" else LOCAL), scope
            innermost = innermost and scope.sees_class
            scope = scope.parent
        return GLOBAL, self

    def walrus_home(self) -> Scope:
        """Return the scope in which `:=` binds: the nearest that is no comprehension."""
        scope = self
        while isinstance(scope, Comprehension) and scope.parent is not None:
            scope = scope.parent
        return scope


class Comprehension(Scope):
    """The scope of a comprehension: it owns its targets, and `:=` passes through it."""


def open_scope(node: Any, parent: Scope) -> Scope:
    """Return the scope that a function, lambda, class or comprehension node opens inside `parent`."""
    if isinstance(node, ast.ClassDef):
        scope = Scope("class", parent, node.name)
        _collect(scope, node.body)
        return scope
    if isinstance(node, COMPREHENSIONS):
        scope = Comprehension("function", parent, parent.class_name)
        targets = [generator.target for generator in node.generators]
        _collect(scope, targets)
        return scope
    scope = Scope("function", parent, parent.class_name)
    scope.bound.update(mangle(name, scope.class_name) for name in argument_names(node.args))
    _collect(scope, node.body if isinstance(node, FUNCTIONS) else [node.body])
    return scope


def open_type_scope(parameters: Iterable[Any], parent: Scope) -> Scope:
    """Return the scope of a type-parameter list, and of annotations evaluated under it."""
    scope = Scope("function", parent, parent.class_name, sees_class=True)
    scope.bound.update(mangle(parameter.name, scope.class_name) for parameter in parameters)
    return scope


def bound_names(body: Iterable[ast.AST]) -> set[str]:
    """Return the names that statements bind in the scope they stand in."""
    scope = Scope("module")
    _collect(scope, body)
    return scope.bound - {"*"}


def argument_names(args: ast.arguments) -> list[str]:
    """Return a function's parameter names."""
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
    return [arg.arg for arg in every if arg is not None]


def defaults_of(args: ast.arguments) -> list[ast.expr]:
    """Return the default values of a function's parameters, in the order Python evaluates them."""
    return [*args.defaults, *(default for default in args.kw_defaults if default is not None)]


def annotations_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.expr]:
    """Return the annotations of a function's parameters and of what it returns."""
    args = node.args
    every = [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg]
    noted = [arg.annotation for arg in every if arg is not None] + [node.returns]
    return [annotation for annotation in noted if annotation is not None]


def _collect(scope: Scope, body: Iterable[ast.AST]) -> None:
    stack = [(node, False) for node in body]
    while stack:
        node, inside_comprehension = stack.pop()
        for name in _names_bound_by(node, inside_comprehension):
            scope.bound.add(mangle(name, scope.class_name))
        if isinstance(node, ast.Global):
            scope.declared_global.update(mangle(name, scope.class_name) for name in node.names)
        elif isinstance(node, ast.Nonlocal):
            scope.declared_nonlocal.update(mangle(name, scope.class_name) for name in node.names)
        inside_comprehension = inside_comprehension or isinstance(node, COMPREHENSIONS)
        stack.extend((child, inside_comprehension) for child in _same_scope_children(node))


def _names_bound_by(node: ast.AST, inside_comprehension: bool) -> Iterator[str]:
    if isinstance(node, ast.NamedExpr):
        yield node.target.id
    elif inside_comprehension:
        return
    elif isinstance(node, ast.Name):
        if not isinstance(node.ctx, ast.Load):
            yield node.id
    elif isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from (imported_name(alias) for alias in node.names)
    elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
        if node.name:
            yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest


def imported_name(alias: ast.alias) -> str:
    """Return the name that one part of an import statement binds."""
    return alias.asname or alias.name.partition(".")[0]


def _same_scope_children(node: ast.AST) -> Iterable[ast.AST]:
    if isinstance(node, ast.Lambda):
        return defaults_of(node.args)
    if isinstance(node, FUNCTIONS):
        return [*node.decorator_list, *defaults_of(node.args), *annotations_of(node)]
    if isinstance(node, ast.ClassDef):
        return [*node.decorator_list, *node.bases, *node.keywords]
    return ast.iter_child_nodes(node)
