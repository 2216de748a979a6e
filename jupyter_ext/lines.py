"""IPython's own syntax in a cell: `!` and `%` lines, `%%` cells, `?` help.

`parse` turns a cell into a syntax tree. Plain Python goes straight through; only what does not compile is
handed to IPython's transformer, which writes `%time y = f(x)` as `get_ipython().run_line_magic('time', 'y =
f(x)')`. `magic` then reads such a call back: which expressions its text expands, and which Python it runs.
"""

from __future__ import annotations

import ast
import re
import string
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_HELP = frozenset({"pinfo", "pinfo2", "psearch", "pdoc", "pdef", "psource", "pfile"})
# Magics that run their text as Python, with the option letters that take a value.
_RUN_PYTHON: Mapping[str, str] = {"time": "", "timeit": "nr", "prun": "DlsT", "memit": "rti"}
_OPTION = re.compile(r"\s*(--[\w-]+|-(?P<letter>[A-Za-z])(?P<value>\S*))(?=\s|$)")
_DOLLAR = re.compile(r"\$(\$?[\w.]+)")


@dataclass(frozen=True)
class Magic:
    """What a magic call does with names.

    Args:
        expressions: Expressions that are expanded in its line, read before anything else.
        function: Code that it runs as the body of a function of its own, as `%timeit` does.
        body: Code that it runs in the notebook's namespace.
        binds: Names that it binds at its end.
        refusal: Why it cannot run remotely, empty where it can.
    """

    expressions: tuple[ast.expr, ...] = ()
    function: ast.FunctionDef | None = None
    body: tuple[ast.stmt, ...] = ()
    binds: tuple[str, ...] = ()
    refusal: str = ""


# -- from text to tree --------------------------------------------------------------------------------------


def parse(cell: str) -> ast.Module:
    """Return the syntax tree of a cell, with magics as calls.

    Args:
        cell: The cell's text.

    Raises:
        SyntaxError: The cell does not compile; line numbers are the cell's own.
    """
    try:
        return _compiled(cell)
    except SyntaxError:
        changed = _transformed(cell)
    try:
        tree = _compiled(changed)
    except SyntaxError as error:
        if error.lineno is not None:
            error.lineno = _own_line(cell, changed, error.lineno)
            error.end_lineno = error.lineno
        raise
    return ast.increment_lineno(tree, _blank_lines_at_start(cell))


def _compiled(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # the worker's compile is the one that says it
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            tree: ast.Module = compile(text, "<cell>", "exec", ast.PyCF_ONLY_AST | _AWAIT, dont_inherit=True)
            compile(tree, "<cell>", "exec", _AWAIT, dont_inherit=True)
        except ValueError as error:  # a null byte, before Python 3.12
            raise SyntaxError(str(error)) from None
        except (RecursionError, MemoryError):
            raise SyntaxError("the cell is nested too deeply to compile") from None
    return tree


def _transformed(cell: str) -> str:
    from IPython.core.inputtransformer2 import TransformerManager  # heavy, and seldom needed

    changed: str = TransformerManager().transform_cell(cell)  # type: ignore[no-untyped-call]
    return changed


def _blank_lines_at_start(cell: str) -> int:
    return cell[: len(cell) - len(cell.lstrip())].count("\n")


def _own_line(cell: str, changed: str, line: int) -> int:
    """Return the cell's line for a line of the changed text, where joined lines and blank ones are gone."""
    after = [text.strip() for text in changed.splitlines()]
    before = [text.strip() for text in cell.splitlines()]
    if not 0 < line <= len(after):
        return min(line + _blank_lines_at_start(cell), max(len(before), 1))
    text = after[line - 1]
    places = [number for number, own in enumerate(before, 1) if own == text]
    occurrence = after[: line - 1].count(text)
    return places[occurrence] if occurrence < len(places) else line + _blank_lines_at_start(cell)


# -- from call to meaning -----------------------------------------------------------------------------------


def magic(node: ast.Call) -> Magic | None:
    """Return what a call does if it is a magic as IPython's transformer writes it, else None."""
    func = node.func
    if not (isinstance(func, ast.Attribute) and func.attr in _READERS and _is_get_ipython(func.value)):
        return None
    texts = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    if len(texts) != len(node.args) or not texts:
        return None
    return _READERS[func.attr](node, *texts)


def _is_get_ipython(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "get_ipython"


def _line_magic(node: ast.Call, name: str, line: str = "", *_: str) -> Magic:
    if name in _HELP:
        mark = {"pinfo": "?", "pinfo2": "??", "psearch": "?"}.get(name)
        asked = f"{line}{mark}" if mark else f"%{name} {line}"
        hint = "run it in a cell without `%%gpu`"
        return Magic(refusal=f"`{asked}` shows help, which runs locally\nhint: {hint}")
    if name in _RUN_PYTHON:
        try:
            body = parse(_without_options(name, line)).body
        except SyntaxError:
            return Magic()  # the magic itself reports it, at its line
        return _runs(name, body)
    return Magic(expanded(line))


def _cell_magic(node: ast.Call, name: str, line: str = "", cell: str = "", *_: str) -> Magic:
    if name == "capture":
        names = tuple(word for word in line.split() if not word.startswith("-"))
        return Magic(body=tuple(_body(node, cell)), binds=names[:1])
    if name in _RUN_PYTHON:
        setup = _line_magic(node, name, line).function if name == "timeit" else None
        return _runs(name, (setup.body if setup else []) + _body(node, cell))
    return Magic(expanded(line))


def _shell_line(node: ast.Call, command: str, *_: str) -> Magic:
    return Magic(expanded(command))


_READERS: Mapping[str, Callable[..., Magic]] = {
    "run_line_magic": _line_magic,
    "run_cell_magic": _cell_magic,
    "system": _shell_line,
    "getoutput": _shell_line,
}


def _runs(name: str, body: list[ast.stmt]) -> Magic:
    if name != "timeit":
        return Magic(body=tuple(body))
    nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
    function = ast.FunctionDef(name=name, args=nothing, body=body, decorator_list=[], lineno=1, col_offset=0)
    return Magic(function=function)


def _body(node: ast.Call, cell: str) -> list[ast.stmt]:
    """Return the statements of a `%%` cell, whose first line is the one after the magic's."""
    try:
        return ast.increment_lineno(parse(cell), node.lineno).body
    except SyntaxError as error:
        if error.lineno is not None:
            error.lineno = error.end_lineno = error.lineno + node.lineno
        raise


def _without_options(name: str, line: str) -> str:
    found = _OPTION.match(line)
    while found:
        line = line[found.end() :]
        if found["letter"] and found["letter"] in _RUN_PYTHON[name] and not found["value"]:
            line = line.lstrip().partition(" ")[2]
        found = _OPTION.match(line)
    return line.strip()


def expanded(line: str) -> tuple[ast.expr, ...]:
    """Return the expressions that IPython expands in a `!` or `%` line: `{x + 1}` and `$x`.

    Args:
        line: The line without its mark.

    Returns:
        The parsed expressions; none if one of them is no Python, for then IPython expands none.
    """
    sources: list[str] = []
    try:
        for literal, source, spec, _ in string.Formatter().parse(line):
            sources += [m for m in _DOLLAR.findall(literal) if m.partition(".")[0].isidentifier()]
            if source is not None:
                sources.append(f"{source}:{spec}" if spec else source)
        return tuple(ast.parse(source.strip(), mode="eval").body for source in sources)
    except (SyntaxError, ValueError):
        return ()
