"""Random programs of cells: what they may say, and what is compared after each."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from tests.kernels import LiveKernel, Shown

NAMES = "abcde"

TEMPLATES = r"""
{v} = [1, 2]
{v} = {n}
{v} = {{'k': [{n}]}}
{v} = {{1, {n}}}
{v} = {w}
{v} = [{w}, {u}]
{v} = {{'k': {w}, 'l': {u}}}
{v} = {w}, [{u}]
{v} = bytearray(b'xy')
{v} = np.arange(3)
{v} = C()
{v} = D(k={w})
{v} = collections.deque([{w}])
{v}.append({w})
{v}.append([{n}])
{v}.insert(0, {w})
{v}.pop()
{v}.reverse()
{v}.clear()
{v} += [{n}]
{v} += {v}
{v}[0] = {w}
{v}[0] = {n}
{v}['k'] = {w}
{v}['m'] = {n}
{v} = {w}['k']
{v} = {w}[0]
{v} = {w}[-1]
del {v}['k']
{v}.add({n})
{v}.x = {w}
{v}.x.append({n})
{v} = {w}.x
{v} = list({w})
{v} = copy.copy({w})
{v}, {w} = {w}, {v}
del {v}
print(show_all({{'v': {v}}}))
len({v})
def f(): return {v}
def f(n={v}): n.append({n}); return n
def f(): {v}.append({n}); return {w}
def g():\n    global {v}\n    {v} = [{w}, {v}]
{v} = f()
g()
f.tag = {v}
{v} = f.tag
{v} = (lambda kept: (lambda: kept))({w})
{v} = {w}()
for {v} in [{w}, {u}]: pass
{v} = [{w} for _ in range(2)]
{v} = [{n}]; {w} = {v}; {v}.append({w})
if {v}: {w} = {v}
try:\n    {v}.append(0)\nexcept Exception as e:\n    {w} = type(e).__name__
class C:\n    n = {n}\n    __repr__ = lambda self: 'C'
C.n = {v}
{v} = C.n
{v} *= 2
""".strip().splitlines()
"""One statement a line; `\\n` stands for a new line within it."""

PRELUDE = """
import collections, copy, numpy as np
class C:
    __repr__ = lambda self: 'C'
class D(dict):
    pass
def show_all(names):
    seen, out = {}, []
    def walk(v):
        if isinstance(v, (int, float, str, bytes, type(None))) or type(v).__module__ == 'numpy' and not hasattr(v, '__setitem__'):
            return repr(v)
        if id(v) in seen:
            return '#%d' % seen[id(v)]
        if not isinstance(v, tuple):
            seen[id(v)] = len(seen)
        kind = type(v).__name__
        if isinstance(v, dict):
            inner = ['%r: %s' % (k, walk(x)) for k, x in v.items()]
        elif isinstance(v, (list, tuple, collections.deque)):
            inner = [walk(x) for x in v]
        elif isinstance(v, (set, frozenset)):
            inner = sorted(map(walk, v))
        elif isinstance(v, (bytearray, np.ndarray)):
            inner = [repr(v)]
        elif callable(v):
            inner = []
        else:
            inner = ['%s=%s' % (k, walk(x)) for k, x in vars(v).items()]
        return kind + '(' + ', '.join(inner) + ')'
    return '; '.join('%s = %s' % (n, walk(v)) for n, v in sorted(names.items()))
"""

LOCALLY = "print(show_all({n: v for n, v in globals().items() if n in 'abcde' and len(n) == 1}))"


@dataclass(frozen=True)
class Step:
    """One cell.

    Args:
        source: Its statements.
        is_remote: Whether it runs on the runtime.
    """

    source: str
    is_remote: bool


_name = st.sampled_from(NAMES)


def programs_of(templates: list[str]) -> st.SearchStrategy[list[Step]]:
    """Programs of a few cells, made of these statements."""
    statement = st.builds(
        lambda template, v, w, u, n: template.replace("\\n", "\n").format(v=v, w=w, u=u, n=n),
        st.sampled_from(templates),
        _name,
        _name,
        _name,
        st.integers(0, 9),
    )
    lines = st.lists(statement, min_size=1, max_size=3).map("\n".join)
    return st.lists(st.builds(Step, lines, st.booleans()), min_size=3, max_size=9)


programs = programs_of(TEMPLATES)


def told(shown: Shown) -> tuple[str, str, str]:
    """What a reader sees of a cell: its text, its result, the class of its error."""
    return shown.text(), shown.result, shown.error["ename"]


def begin(kernel: LiveKernel) -> None:
    """Empty a kernel; its session too, if it has one, so that no program sees what another left."""
    kernel.run("%gpu stop")
    kernel.run("%reset -f")
    begun = kernel.run(PRELUDE)
    assert begun.status == "ok", begun.traceback


def compare(plain: LiveKernel, warm: LiveKernel, program: list[Step]) -> None:
    """Run a program in one plain kernel and in one that runs some of its cells elsewhere.

    Raises:
        AssertionError: They differ, in what they show, in a value, or in which values are one object.
    """
    for kernel in (plain, warm):
        begin(kernel)
    for at, step in enumerate(program):
        expected = told(plain.run(step.source))
        mark = "%%gpu cpu -q\n" if step.is_remote else ""
        found = told(warm.run(mark + step.source))
        assert found == expected, f"cell {at} shows {found}, expected {expected}: {step}"
        names, names_expected = warm.run(LOCALLY).text(), plain.run(LOCALLY).text()
        assert names == names_expected, f"names after cell {at}: {step}\n{names}\n{names_expected}"
    alive = [name for name in NAMES if warm.run(f"print({name!r} in globals())").text() == "True\n"]
    there = "%%gpu cpu -q\nprint(show_all({{{}}}))".format(", ".join(f"{name!r}: {name}" for name in alive))
    shown = warm.run(there)
    assert shown.text() == plain.run(LOCALLY).text(), f"names there at the end: {shown.traceback}"
