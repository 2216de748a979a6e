"""What the statements of a cell read, bind and unbind, along every way that execution can take.

`Flow` adds statements to `Expressions`. Loops are walked once, and again only where their body unbinds a
name: binding can only make later reads safer, so the first round is already the worst case. Exceptions may
come after every step: the states of a `try` body are joined as they pass, and its handlers start from the
join. Code that cannot be reached is walked with the last state before it, so that its reads are not lost.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from jupyter_ext.evaluate import Expressions
from jupyter_ext.scopes import Scope, annotations_of, defaults_of, imported_name, open_type_scope
from jupyter_ext.states import State, join


class Flow(Expressions):
    """Walks the statements of one cell."""

    def __init__(self, tree: ast.Module) -> None:
        super().__init__()
        self._tree = tree
        self._evaluates_annotations = not any(map(_is_future_annotations, tree.body))
        self._type_scopes: dict[ast.AST, Scope] = {}
        self.breaks: State | None = None
        self.continues: State | None = None
        self.unbound_at_raise = 0

    def run(self) -> Flow:
        """Walk the whole cell and return the walker itself."""
        self.block(self._tree.body)
        return self

    # -- simple statements ----------------------------------------------------------------------------------

    def _on_Global(self, node: ast.Global | ast.Nonlocal) -> None:
        """Scopes know it already."""

    _on_Nonlocal = _on_Global

    def _on_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        self.block(node.targets)

    def _on_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.read(node.target.id)
            self.visit(node.value)
            self.bind(node.target.id)
        else:
            self.visit(node.target)
            self.visit(node.value)

    def _on_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
            self.visit(node.target)
        elif not isinstance(node.target, ast.Name):
            self.children(node.target)
        if self._evaluates_annotations and self.scope.kind != "function":
            self.visit(node.annotation)

    def _on_Assert(self, node: ast.Assert) -> None:
        true, self.state = self.test(node.test)
        if node.msg is not None:
            self.visit(node.msg)
        self.state = true

    def _on_Raise(self, node: ast.Raise) -> None:
        self.children(node)
        if self.raised is None and not self.in_function and self.state.live:
            self.unbound_at_raise |= self.state.deleted
        self.state = self.state.dead()

    def _on_Return(self, node: ast.Return) -> None:
        self.children(node)
        self.state = self.state.dead()

    def _on_Break(self, node: ast.Break) -> None:
        self.breaks = join(self.breaks, self.state)
        self.state = self.state.dead()

    def _on_Continue(self, node: ast.Continue) -> None:
        self.continues = join(self.continues, self.state)
        self.state = self.state.dead()

    def _on_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.ImportFrom):
            self.facts.imports.add(node.module or "")
        else:
            self.facts.imports.update(alias.name for alias in node.names)
        for alias in node.names:
            if alias.name == "*":
                self.facts.star = True
            else:
                self.bind(imported_name(alias))

    _on_ImportFrom = _on_Import

    # -- branches and loops ---------------------------------------------------------------------------------

    def _on_If(self, node: ast.If) -> None:
        after: State | None = None
        while True:
            true, false = self.test(node.test)
            self.state = true
            self.block(node.body)
            after = join(after, self.state)
            self.state = false
            # `elif` is an `if` alone in the `else`: a loop, since a hundred of them would be as many calls
            # deep.
            if len(node.orelse) != 1 or not isinstance(node.orelse[0], ast.If):
                break
            node = node.orelse[0]
        self.block(node.orelse)
        self.state = join(after, self.state) or self.state

    def _on_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        self._loop(node, enter=lambda: self.visit(node.target), leave=lambda: None)

    _on_AsyncFor = _on_For

    def _on_While(self, node: ast.While) -> None:
        def enter() -> None:
            self.state, _ = self.test(node.test)

        def leave() -> None:
            _, self.state = self.test(node.test)

        self._loop(node, enter, leave)

    def _loop(self, node: Any, enter: Callable[[], None], leave: Callable[[], None]) -> None:
        outer = self.breaks, self.continues
        head = self.state
        while True:
            self.breaks = self.continues = None
            self.state = head
            enter()
            self.block(node.body)
            back = join(head, join(self.state, self.continues)) or head
            if not back.deleted & ~head.deleted:
                break
            head = back
        breaks = self.breaks
        self.breaks, self.continues = outer
        self.state = back
        leave()
        self.block(node.orelse)
        if breaks is not None:
            # A `break` may come in a later round, when an earlier one has bound more.
            self.state = join(self.state, breaks._replace(bound=breaks.bound | back.bound)) or self.state

    def _on_Match(self, node: ast.Match) -> None:
        self.visit(node.subject)
        after: State | None = None
        for case in node.cases:
            missed = self.state
            self.visit(case.pattern)
            matched = self.state
            # Whether a pattern that fails half-way has bound its first names is left open by the language.
            missed = missed.dead() if _always_matches(case.pattern) else join(missed, matched) or missed
            if case.guard is not None:
                self.state, false = self.test(case.guard)
                missed = join(missed, false) or missed
            self.block(case.body)
            after = join(after, self.state)
            self.state = missed
        self.state = join(after, self.state) or self.state

    def _on_capture(self, node: ast.MatchAs | ast.MatchStar) -> None:
        self.children(node)
        if node.name is not None:
            self.bind(node.name)

    _on_MatchAs = _on_MatchStar = _on_capture

    def _on_MatchMapping(self, node: ast.MatchMapping) -> None:
        self.children(node)
        if node.rest is not None:
            self.bind(node.rest)

    # -- exceptions -----------------------------------------------------------------------------------------

    def _on_With(self, node: ast.With | ast.AsyncWith) -> None:
        self._with(node, 0)

    _on_AsyncWith = _on_With

    def _with(self, node: ast.With | ast.AsyncWith, index: int) -> None:
        if index == len(node.items):
            self.block(node.body)
            return
        item = node.items[index]
        self.visit(item.context_expr)
        target = item.optional_vars
        if isinstance(target, ast.Name):  # binding a plain name cannot fail
            self.visit(target)

        def body() -> None:
            if target is not None and not isinstance(target, ast.Name):
                self.visit(target)
            self._with(node, index + 1)

        # A context manager may swallow whatever its body raises.
        caught = self._collect(body)
        self.state = join(self.state, caught) or caught

    def _on_Try(self, node: Any) -> None:
        if node.finalbody:
            self._finally(lambda: self._try(node), lambda: self.block(node.finalbody))
        else:
            self._try(node)

    _on_TryStar = _on_Try

    def _try(self, node: Any) -> None:
        caught = self._collect(lambda: self.block(node.body))
        self.block(node.orelse)
        after: State | None = self.state if node.handlers else None
        unhandled = self.state
        for handler in node.handlers:
            self.state = caught
            if handler.type is not None:
                self.visit(handler.type)
            caught = self.state
            self._handle(handler)
            after = join(after, self.state)
            if type(node).__name__ == "TryStar":  # of `except*`, several may run, one after the other
                caught = join(caught, self.state) or caught
        self.state = after or unhandled

    def _handle(self, handler: ast.ExceptHandler) -> None:
        name = handler.name
        if name is None:
            self.block(handler.body)
            return
        self.bind(name, lasting=False)
        self._finally(lambda: self.block(handler.body), lambda: self.unbind(name, by_del=False))

    def _collect(self, body: Callable[[], None]) -> State:
        """Walk a body and return what may hold where an exception of it is caught."""
        outer, self.raised = self.raised, self.state
        body()
        caught = self.raised or self.state
        self.raised = None if outer is None else join(outer, caught)
        return caught

    def _finally(self, body: Callable[[], None], final: Callable[[], None]) -> None:
        """Walk a body, and what is done on every way out of it: by an exception, a `break`, or at its end."""
        outer = self.breaks, self.continues
        self.breaks = self.continues = None
        caught = self._collect(body)
        normal, inner = self.state, (self.breaks, self.continues)
        self.breaks, self.continues = outer
        self._end(caught, final)
        if self.raised is not None:
            self.raised = join(self.raised, self.state)
        if inner[0] is not None:
            self.breaks = join(self.breaks, self._end(inner[0], final))
        if inner[1] is not None:
            self.continues = join(self.continues, self._end(inner[1], final))
        self._end(normal, final)

    def _end(self, state: State, final: Callable[[], None]) -> State:
        self.state = state
        final()
        return self.state

    # -- definitions ----------------------------------------------------------------------------------------

    def _on_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.block(node.decorator_list)
        self.block(defaults_of(node.args))
        outer = self.scope
        self._open_type_parameters(node)
        if self._evaluates_annotations:
            self.block(annotations_of(node))
        self.later(self.scope_of(node), node.body)
        self.scope = outer
        self.bind(node.name)

    _on_AsyncFunctionDef = _on_FunctionDef

    def _on_ClassDef(self, node: ast.ClassDef) -> None:
        self.block(node.decorator_list)
        outer = self.scope
        self._open_type_parameters(node)
        self.block(node.bases)
        self.block(node.keywords)
        self.scope = self.scope_of(node)
        self.block(node.body)
        self.scope = outer
        self.bind(node.name)

    def _on_TypeAlias(self, node: Any) -> None:
        outer = self.scope
        self._open_type_parameters(node, even_if_none=True)
        self.later(self.scope, [node.value])
        self.scope = outer
        self.visit(node.name)

    def _open_type_parameters(self, node: Any, even_if_none: bool = False) -> None:
        parameters = getattr(node, "type_params", [])
        if not parameters and not even_if_none:
            return
        if node not in self._type_scopes:
            self._type_scopes[node] = open_type_scope(parameters, self.scope)
        self.scope = self._type_scopes[node]
        self.later(self.scope, [part for p in parameters for part in ast.iter_child_nodes(p)])


def _is_future_annotations(node: ast.stmt) -> bool:
    if not isinstance(node, ast.ImportFrom) or node.module != "__future__" or node.level:
        return False
    return any(alias.name == "annotations" for alias in node.names)


def _always_matches(pattern: ast.pattern) -> bool:
    if isinstance(pattern, ast.MatchOr):
        return _always_matches(pattern.patterns[-1])
    return isinstance(pattern, ast.MatchAs) and (pattern.pattern is None or _always_matches(pattern.pattern))
