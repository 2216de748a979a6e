"""Scopes agree with Python's own symbol table, over real modules of the standard library."""

from __future__ import annotations

import ast
import symtable
import sysconfig
from pathlib import Path

import pytest

from jupyter_ext.flow import Flow

LIBRARY = Path(sysconfig.get_paths()["stdlib"])
MODULES = (
    "argparse ast asyncio/tasks bdb codecs collections/__init__ configparser copy csv dataclasses datetime decimal difflib "
    "email/message enum fractions functools http/client inspect ipaddress json/decoder logging/__init__ mailbox "
    "multiprocessing/pool numbers pathlib pickle plistlib random re statistics string subprocess tarfile textwrap threading "
    "tokenize traceback typing unittest/mock urllib/request uuid weakref zipfile"
).split()


class Everything(Flow):
    """A walk for which nothing is ever surely bound: it meets every use of a global."""

    def _surely_bound(self, key: object) -> bool:
        return False


def globals_by_symtable(source: str) -> tuple[set[str], set[str]]:
    top = symtable.symtable(source, "module", "exec")
    used, bound = set(), set()
    tables = [top]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        # `symtable` takes every block that is named `top` for the module.
        for symbol in table.get_symbols() if table is top or table.get_name() != "top" else ():
            is_ours = table is top or symbol.is_global() or (table.get_type() == "class" and not symbol.is_free())
            if is_ours and symbol.is_referenced():
                used.add(symbol.get_name())
            if (table is top or symbol.is_global()) and (symbol.is_assigned() or symbol.is_imported()):
                bound.add(symbol.get_name())
    return used, bound


def names_in(tree: ast.AST, kind: type[ast.AST]) -> set[str]:
    return {name.id for node in ast.walk(tree) if isinstance(node, kind) for name in ast.walk(node) if isinstance(name, ast.Name)}


@pytest.mark.parametrize("module", MODULES)
def test_globals_of_a_module(module: str) -> None:
    path = LIBRARY / f"{module}.py"
    if not path.exists():
        pytest.skip("not a file in this version")
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    facts = Everything(tree).run().facts
    used, bound = globals_by_symtable(source)
    ours = facts.read | facts.read_after_star | facts.deferred | facts.settled
    # `symtable` does not count `x += 1` and `del x` as uses, and counts annotations inside functions, which never run.
    assert ours - used <= names_in(tree, ast.AugAssign) | names_in(tree, ast.Delete)
    inlined = names_in(tree, ast.comprehension)
    assert used - ours - {"__class__"} <= names_in(tree, ast.AnnAssign) | inlined
    assert facts.bound | facts.caught <= bound
    assert bound - facts.bound - facts.caught - {"*"} <= names_in(tree, ast.AnnAssign) | inlined
