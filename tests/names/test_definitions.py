"""Functions, classes, imports and builtins: what runs later, what owns its names, and what the language added since 3.10."""

from __future__ import annotations

import sys

import pytest

from tests.names.rows import Row, check

FUNCTIONS = [
    Row("def f(): pass", "", "f"),
    Row("def f(a, /, b, *c, d, **e): return a, b, c, d, e, g", "g", "f"),
    Row("def f(a=b, *, c=d): pass", "b d", "f"),
    Row("def f(a=f): pass", "f", "f"),
    Row("def f(a: A, *b: B, c: C = d, **e: E) -> R: pass", "A B C d E R", "f"),
    Row("@a\n@b.c(d)\ndef f(): pass", "a b d", "f"),
    Row("def f(): x = 1; return x", "", "f"),
    Row("def f(): return x; x = 1", "", "f"),
    Row("def f():\n    if c: x = 1\n    return x", "c", "f"),
    Row("def f():\n    for i in a: pass\n    return i", "a", "f"),
    Row("def f():\n    import m\n    from n import o\n    return m, o", "", "f"),
    Row("def f():\n    with a as x: return x", "a", "f"),
    Row("def f():\n    try: pass\n    except E as e: return e", "E", "f"),
    Row("def f():\n    x: T = 1\n    y: U\n    return x, y", "", "f"),
    Row("def f():\n    return (y := 1), y", "", "f"),
    Row("def f():\n    return [z := i for i in a], z", "a", "f"),
    Row("def f():\n    def g(): return x\n    x = 1\n    return g", "", "f"),
    Row("def f():\n    def g(): return x\n    return g", "x", "f"),
    Row("def f():\n    x = 1\n    def g():\n        nonlocal x\n        x = 2", "", "f"),
    Row("def f():\n    x = 1\n    def g():\n        global x\n        return x", "x", "f"),
    Row("def f():\n    global x\n    def g(): return x\n    x = 1", "", "f x", "x"),
    Row("def f():\n    class A:\n        y = x\n    x = 1", "", "f"),
    Row("def f():\n    match a:\n        case [x, *y]: return x, y", "a", "f"),
    Row("def f():\n    del x", "", "f"),
    Row("def f():\n    return x\nx = 1", "", "f x", "x"),
    Row("x = 1\ndef f():\n    return x", "", "x f"),
    Row("if c: x = 1\ndef f(): return x", "c", "x f", "x"),
    Row("def f(): return x\nx", "x", "f"),
    Row("def f(): return x\nx = x", "x", "f x"),
    Row("def f():\n    global n\n    n += 1", "", "f n", "n"),
    Row("def f():\n    global n\n    n = 1\n    return n", "", "f n"),
    Row("def f():\n    global n\n    n = 1\nf()\nn", "n", "f n"),
    Row("def f():\n    global A\n    class A: pass", "", "f A"),
    Row("def f():\n    global m\n    import m", "", "f m"),
    Row("def f(n): return f(n - 1)", "", "f", "f"),
    Row("def f(): return g()\ndef g(): return f()", "", "f g", "g"),
    Row("f = lambda: f", "", "f", "f"),
    Row("f = lambda: a\na = 1", "", "f a", "a"),
    Row("sorted(a, key=lambda x: x.k + b)", "a b"),
    Row("try: pass\nexcept E as e: pass\ndef f(): return e", "E", "f", "e"),
    Row("global x\nx = 1", "", "x"),
    Row("async def f():\n    async with a as x:\n        async for i in x: await i", "a", "f"),
    Row("@(lambda f: f)\ndef g(): pass", "", "g"),
    Row("def f():\n    'doc'\n    return __name__", "", "f"),
    Row("def f():\n    for i in a:\n        del i", "a", "f"),
    Row("def f():\n    return x\ndel x", "x", "f", "", "x"),
]

CLASSES = [
    Row("class A: pass", "", "A"),
    Row("class A(B, C.D, metaclass=M, k=v, *b, **kw): pass", "B C M v b kw", "A"),
    Row("@d\nclass A: pass", "d", "A"),
    Row("class A:\n    x = 1\n    y = x", "", "A"),
    Row("class A:\n    y = x\n    x = 1", "x", "A"),
    Row("def f():\n    x = 1\n    class A:\n        nonlocal x\n        y = x\n        x = 2", "", "f"),
    Row("class A:\n    if c: x = 1\n    y = x", "c x", "A"),
    Row("class A:\n    x = 1\n    def f(self): return x", "x", "A"),
    Row("class A:\n    x = 1\n    f = lambda self: x", "x", "A"),
    Row("class A:\n    x = [1]\n    y = [i for i in x]", "", "A"),
    Row("class A:\n    x = 1\n    y = [x for i in z]", "x z", "A"),
    Row("class A:\n    x = 1\n    class B: y = x", "x", "A"),
    Row("class A:\n    def f(self): return super().f(), __class__", "", "A"),
    Row("class A:\n    def f(self): return A", "", "A", "A"),
    Row("class A:\n    me = A", "A", "A"),
    Row("class A:\n    x: T = 1\n    y: U", "T U", "A"),
    Row("class A:\n    global n\n    n = 1", "", "A n"),
    Row("class A:\n    def f(self, x=k): return self.y + z", "k z", "A"),
    Row("class A:\n    x = 1\n    def f(self, k=x): pass", "", "A"),
    Row("class A:\n    def f(self): pass\n    g = f", "", "A"),
    Row("class A:\n    x = y\n    del x", "y", "A"),
    Row("class A:\n    def f(self): return __p", "_A__p", "A"),
    Row("class __A:\n    __p = 1\n    q = __p", "", "__A"),
    Row("class A:\n    import m\n    m.x", "", "A"),
    Row("class A:\n    for i in a: pass\n    b = i", "a i", "A"),
    Row("for _ in a:\n    class A:\n        y = x\n        x = 1", "a x", "_ A"),
    Row("class A:\n    with a as x: x\n    try: b\n    except E as e: e", "a b E", "A"),
    Row("def f(x):\n    class A:\n        x = x\n    return A", "x", "f"),
    Row("@dataclass\nclass P:\n    x: float = 0.0\n    def norm(self): return sqrt(self.x)", "dataclass sqrt", "P"),
    Row("class A:\n    @property\n    def x(self): return 1\n    @x.setter\n    def x(self, v): pass", "", "A"),
]

IMPORTS = [
    Row("import a", "", "a"),
    Row("import a.b.c", "", "a"),
    Row("import a.b.c as d, e as f", "", "d f"),
    Row("from a import b, c as d", "", "b d"),
    Row("from a.b import (c, d)", "", "c d"),
    Row("from . import a", "", "a"),
    Row("from ..a import b as c", "", "c"),
    Row("import a; a.b(c)", "c", "a"),
    Row("a.b; import a", "a", "a"),
    Row("if c: import a\na", "c a", "a"),
    Row("from a import *\nb", "", "", "b"),
    Row("b\nfrom a import *", "b"),
    Row("b\nfrom a import *\nb; c", "b", "", "c"),
    Row("from a import *\ndef f(): return g", "", "f", "g"),
    Row("from a import *\nx = 1\nx", "", "x"),
    Row("from __future__ import division\nx", "x", "division"),
]

NEWER = [
    (11, Row("try: f()\nexcept* E as e: e", "f E")),
    (11, Row("try: x = f()\nexcept* A: y = 1\nexcept* B: y", "f A B y", "x y")),
    (11, Row("a[*b]", "a b")),
    (11, Row("def f(*a: *T): pass", "T", "f")),
    (12, Row("type V = list[X]", "X", "V")),
    (12, Row("type V = dict[str, V]", "", "V", "V")),
    (12, Row("type V[T: B] = dict[T, X]", "B X", "V")),
    (12, Row("def f[T: B, *Ts, **P](a: T, b: U = d) -> R: return T, g", "B U d R g", "f")),
    (12, Row("class C[T](Base[T], k=v):\n    x: T\n    def m(self) -> T: return T", "Base v", "C")),
    (12, Row("class C:\n    K = int\n    def m[T](self, x: K) -> T: pass", "", "C")),
    (12, Row("@d(T)\ndef f[T](): pass", "d T", "f")),
    (12, Row("f'{f'{a}'}'", "a")),
    (13, Row("type V[T = D] = T", "D", "V")),
    (13, Row("class C[T = D]: pass", "D", "C")),
]

BUILTINS = [
    Row("print(len(x), ValueError, int, NotImplemented)", "x"),
    Row("__name__, __file__, __doc__, __builtins__"),
    Row("__version__", "__version__"),
    Row("get_ipython(); exit; quit; open; display; _dh"),
    Row("_ + __ + ___", "_ __ ___"),
    Row("for _ in range(3): _", "", "_"),
]

TABLE = FUNCTIONS + CLASSES + IMPORTS + BUILTINS


@pytest.mark.parametrize("row", TABLE, ids=[row.cell for row in TABLE])
def test_row(row: Row) -> None:
    check(row)


@pytest.mark.parametrize(("minor", "row"), NEWER, ids=[row.cell for _, row in NEWER])
def test_row_of_newer_grammar(minor: int, row: Row) -> None:
    if sys.version_info < (3, minor):
        pytest.skip(f"grammar of Python 3.{minor}")
    check(row)
