"""What one expression of a cell reads and binds, and in which order.

`Expressions` walks an expression in Python's order of evaluation, moves the `State` along and notes in
`Facts` what it met. Where evaluation can stop early (`and`, `a if b else c`, comparison chains,
comprehensions over nothing) the states of all ways are joined, so that a name counts as bound only if it is
bound on every way.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from jupyter_ext import dynamic, lines
from jupyter_ext.scopes import CLASS, GLOBAL, LOCAL, Scope, defaults_of, mangle, open_scope
from jupyter_ext.states import Facts, State, join


@cache
def _method(walker: Any, node: Any) -> Callable[[Expressions, ast.AST], None]:
    method: Callable[[Expressions, ast.AST], None] = getattr(walker, f"_on_{node.__name__}", walker.children)
    return method


class Expressions:
    """Walks expressions; `Flow` adds the statements."""

    def __init__(self) -> None:
        self.facts = Facts()
        self.state = State()
        self.scope = Scope("module")
        self.in_function = False
        # What may hold where an exception is caught; None outside of any `try`.
        self.raised: State | None = None
        self._bits: dict[Any, int] = {}
        self._scopes: dict[ast.AST, Scope] = {}

    def visit(self, node: ast.AST) -> None:
        """Evaluate one node."""
        _method(type(self), type(node))(self, node)  # type: ignore[arg-type]  # types are hashable

    def children(self, node: ast.AST) -> None:
        """Evaluate what a node consists of, in the order of its fields."""
        for child in ast.iter_child_nodes(node):
            self.visit(child)

    def block(self, nodes: Sequence[ast.AST]) -> None:
        """Evaluate one node after the other."""
        for node in nodes:
            self.visit(node)

    # -- names ----------------------------------------------------------------------------------------------

    def read(self, name: str) -> None:
        """Note that a name is read here."""
        name = mangle(name, self.scope.class_name)
        kind, scope = self.scope.owner(name)
        if kind is LOCAL or (kind is CLASS and self._surely_bound((scope, name))):
            return
        facts = self.facts
        if self._surely_bound(name):
            if self.in_function:
                facts.settled.add(name)
        elif self.in_function:
            facts.deferred.add(name)
        else:
            (facts.read_after_star if facts.star else facts.read).add(name)

    def bind(self, name: str, home: Scope | None = None, lasting: bool = True) -> None:
        """Note that a name is bound here.

        Args:
            name: The name as written.
            home: The scope that the binding statement belongs to, if not the current one.
            lasting: False for `except ... as`, which unbinds the name at its end.
        """
        name = mangle(name, self.scope.class_name)
        kind, scope = (home or self.scope).owner(name)
        if kind is LOCAL:
            return
        bit = self._bit((scope, name) if kind is CLASS else name)
        state = self.state
        self.move(State(state.untouched & ~bit, state.bound | bit, state.deleted & ~bit, state.live))
        if kind is GLOBAL:
            (self.facts.bound if lasting else self.facts.caught).add(name)
            if self.in_function:
                self.facts.bound_later.add(name)

    def unbind(self, name: str, by_del: bool = True) -> None:
        """Note that a name is unbound here, by `del` or at the end of an `except ... as`."""
        name = mangle(name, self.scope.class_name)
        kind, scope = self.scope.owner(name)
        if kind is LOCAL:
            return
        bit = self._bit((scope, name) if kind is CLASS else name)
        state = self.state
        self.move(State(state.untouched & ~bit, state.bound & ~bit, state.deleted | bit, state.live))
        if kind is GLOBAL and by_del:
            self.facts.unbound.add(name)
            if self.in_function:
                self.facts.unbound_later.add(name)

    def move(self, state: State) -> None:
        """Go on in a new state; an exception may come right after it."""
        self.state = state
        if self.raised is not None:
            self.raised = join(self.raised, state)

    def names_in(self, bits: int) -> set[str]:
        """Return the notebook's names among a set of bits."""
        return {key for key, bit in self._bits.items() if bit & bits and isinstance(key, str)}

    def _bit(self, key: Any) -> int:
        bits = self._bits
        if key not in bits:
            bits[key] = 1 << len(bits)
        return bits[key]

    def _surely_bound(self, key: Any) -> bool:
        bit = self._bits.get(key)
        return bit is not None and not (self.state.untouched | self.state.deleted) & bit

    def scope_of(self, node: ast.AST) -> Scope:
        """Return the scope that a node opens inside the current one, the same one each time."""
        if node not in self._scopes:
            self._scopes[node] = open_scope(node, self.scope)
        return self._scopes[node]

    # -- expressions ----------------------------------------------------------------------------------------

    def _on_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.read(node.id)
        elif isinstance(node.ctx, ast.Store):
            self.bind(node.id)
        else:
            self.read(node.id)
            self.unbind(node.id)

    def _on_Constant(self, node: ast.Constant) -> None:
        """Nothing to read."""

    _on_Load = _on_Store = _on_Del = _on_Constant

    def _on_Attribute(self, node: ast.Attribute) -> None:
        warning = dynamic.shell_namespace(node)
        if warning is not None:
            self.facts.warnings[warning] = None
        self.visit(node.value)

    def _on_BinOp(self, node: ast.BinOp) -> None:
        # A sum of a thousand terms is a thousand levels deep on the left: too deep for one call per level.
        rights = []
        left: ast.expr = node
        while isinstance(left, ast.BinOp):
            rights.append(left.right)
            left = left.left
        self.visit(left)
        self.block(rights[::-1])

    def _on_Dict(self, node: ast.Dict) -> None:
        for key, value in zip(node.keys, node.values, strict=True):
            if key is not None:
                self.visit(key)
            self.visit(value)

    def _on_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self.bind(node.target.id, home=self.scope.walrus_home())

    def _on_Subscript(self, node: ast.Subscript) -> None:
        self.visit(node.value)
        self.visit(node.slice)
        name = None if isinstance(node.ctx, ast.Load) else dynamic.namespace_item(node)
        if name is not None:
            (self.bind if isinstance(node.ctx, ast.Store) else self.unbind)(name)

    def _on_Call(self, node: ast.Call) -> None:
        magic = lines.magic(node)
        if magic is not None:
            self.run_magic(magic)
            return
        found = dynamic.access(node)
        if found is not None and self._is_dynamic(found.name):
            self.facts.warnings[found.warning] = None
            self.facts.bound.update(found.binds)
        self.visit(node.func)
        self.block(node.args)
        self.block(node.keywords)

    def _is_dynamic(self, name: str) -> bool:
        if name in self.facts.bound or self.scope.owner(name)[0] is LOCAL:
            return False
        return not (name in ("locals", "vars") and self.in_function)

    def run_magic(self, magic: lines.Magic) -> None:
        """Evaluate what a `%`, `!` or `?` line does."""
        if magic.refusal:
            self.facts.refusals[magic.refusal] = None
        self.block(magic.expressions)
        if magic.function is not None:
            outer, before = self.scope, self.state
            self.scope = self.scope_of(magic.function)
            self.block(magic.function.body)
            self.scope, self.state = outer, join(before, self.state) or before
        self.block(magic.body)
        for name in magic.binds:
            self.bind(name)

    # -- ways that part and meet ----------------------------------------------------------------------------

    def test(self, node: ast.expr) -> tuple[State, State]:
        """Evaluate a condition.

        Args:
            node: The condition.

        Returns:
            The state where it is true, and the state where it is false.
        """
        if isinstance(node, ast.BoolOp):
            return self._test_chain(node)
        if isinstance(node, ast.Compare):
            return self._test_comparison(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            true, false = self.test(node.operand)
            return false, true
        self.visit(node)
        if isinstance(node, ast.Constant):
            return (self.state, self.state.dead()) if node.value else (self.state.dead(), self.state)
        return self.state, self.state

    def _test_chain(self, node: ast.BoolOp) -> tuple[State, State]:
        is_and = isinstance(node.op, ast.And)
        stopped: State | None = None
        for value in node.values:
            true, false = self.test(value)
            stopped = join(stopped, false if is_and else true)
            self.state = true if is_and else false
        stopped = stopped or self.state
        return (self.state, stopped) if is_and else (stopped, self.state)

    def _test_comparison(self, node: ast.Compare) -> tuple[State, State]:
        self.visit(node.left)
        false: State | None = None
        for comparator in node.comparators:
            self.visit(comparator)
            false = join(false, self.state)
        return self.state, false or self.state

    def _on_condition(self, node: ast.expr) -> None:
        true, false = self.test(node)
        self.state = join(true, false) or true

    _on_BoolOp = _on_Compare = _on_condition

    def _on_IfExp(self, node: ast.IfExp) -> None:
        true, false = self.test(node.test)
        self.state = true
        self.visit(node.body)
        after = self.state
        self.state = false
        self.visit(node.orelse)
        self.state = join(after, self.state) or after

    # -- scopes inside expressions --------------------------------------------------------------------------

    def _on_Lambda(self, node: ast.Lambda) -> None:
        self.block(defaults_of(node.args))
        self.later(self.scope_of(node), [node.body])

    def later(self, scope: Scope, body: Sequence[ast.AST]) -> None:
        """Evaluate a function's body: it runs some time after this point, so its reads are deferred."""
        saved = self.scope, self.state, self.in_function, self.raised
        self.scope, self.in_function, self.raised = scope, True, None
        self.block(body)
        self.scope, self.state, self.in_function, self.raised = saved

    def _on_comprehension(self, node: Any) -> None:
        # Only the first iterable is evaluated outside. A generator expression runs later, but nearly always
        # at once.
        self.visit(node.generators[0].iter)
        outer, skipped = self.scope, self.state
        self.scope = self.scope_of(node)
        for generator in node.generators:
            if generator is not node.generators[0]:
                self.visit(generator.iter)
            self.visit(generator.target)
            for condition in generator.ifs:
                self.state, false = self.test(condition)
                skipped = join(skipped, false) or skipped
        self.block([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])
        self.scope, self.state = outer, join(skipped, self.state) or skipped

    _on_ListComp = _on_SetComp = _on_DictComp = _on_GeneratorExp = _on_comprehension
