"""Every form of statement and expression, and every order of read, bind, branch, loop and delete."""

from __future__ import annotations

import sys
from typing import NamedTuple

import pytest

from jupyter_ext.names import plan


class Row(NamedTuple):
    cell: str
    reads: str = ""
    binds: str = ""
    weak: str = ""
    deletes: str = ""


NOTHING: dict[str, object] = {}

EXPRESSIONS = [
    Row("1; 'a'; b'b'; ...; None; True; 1j"),
    Row("a + b * c", "a b c"),
    Row("-a; +b; ~c; not d", "a b c d"),
    Row("a if b else c", "a b c"),
    Row("a or b and c", "a b c"),
    Row("a < b <= c != d", "a b c d"),
    Row("a is b; c in d; e not in f", "a b c d e f"),
    Row("f(a, *b, k=c, **d)", "f a b c d"),
    Row("a.b.c", "a"),
    Row("a[b]; a[b:c:d]; a[..., e]", "a b c d e"),
    Row("(a, b); [c, *d]; {e}; {f: g, **h}", "a b c d e f g h"),
    Row("lambda a, /, b, *c, d=e, **f: (a, b, c, d, f, g)", "e g"),
    Row("(lambda: (yield x))", "x"),
    Row("f'{a!r:>{b}} {c=} {d:%Y} {{no}}'", "a b c d"),
    Row("f'{f\"{a}\"}'", "a"),
    Row("f'{(lambda x: x + a)(1)}'", "a"),
    Row("'%s' % a; '{b}'.format(b=c)", "a c"),
    Row("[x for x in x]", "x"),
    Row("[x for y in x for x in y]", "x"),
    Row("[a for _ in range(3)]", "a"),
    Row("[i for i in a if i if b]", "a b"),
    Row("{i: j for i, j in a}", "a"),
    Row("{i for i in a}", "a"),
    Row("[[j for j in i] for i in a]", "a"),
    Row("[lambda: i + k for i in a]", "a k"),
    Row("[i for i, *j in a if j]", "a"),
    Row("[a[0] for a[0] in b]", "a b"),
    Row("list(i + k for i in a)", "a k"),
    Row("k = 1; g = (k for _ in a)", "a", "k g"),
    Row("g = (k for _ in a); k = 1", "a k", "k g"),
    Row("[n := 1, n]", "", "n"),
    Row("(n := n + 1)", "n", "n"),
    Row("[m := i for i in a]; m", "a m", "m"),
    Row("any((hit := i) > 3 for i in a)", "a", "hit"),
    Row("[[(deep := j) for j in i] for i in a]", "a", "deep"),
    Row("(a := 1) and (b := 2); a; b", "b", "a b"),
    Row("(a := f()) and (b := 2) and b", "f", "a b"),
    Row("(a := f()) or a", "f", "a"),
    Row("not (a := f()) or a", "f", "a"),
    Row("(b := 1) if c else b", "c b", "b"),
    Row("x if (x := f()) else x", "f", "x"),
    Row("f() < (a := 1) < (b := 2); a; b", "f b", "a b"),
    Row("await a", "a"),
    Row("[await f(x) for x in xs]", "f xs"),
    Row("[x async for x in xs]; {k: 1 async for k in ks}", "xs ks"),
    Row("(x async for x in xs if await f(x))", "xs f"),
    Row("async def g():\n    yield a\n    await b", "a b", "g"),
    Row("def g():\n    x = yield\n    yield from a", "a", "g"),
    Row("*a, b", "a b"),
]

ASSIGNMENTS = [
    Row("a = b = c = d", "d", "a b c"),
    Row("a, (b, [c, *d]), *e = f", "f", "a b c d e"),
    Row("a = a", "a", "a"),
    Row("a = 1; a += 1", "", "a"),
    Row("a += a", "a", "a"),
    Row("a: int = 3", "", "a"),
    Row("a: T = b", "b T", "a"),
    Row("a: T", "T"),
    Row("a: T; a", "a T"),
    Row("(a): T = b", "b T", "a"),
    Row("a: a = 1", "", "a"),
    Row("a.b: T = c", "a c T"),
    Row("a.b: T", "a T"),
    Row("a[i]: T = c", "a i c T"),
    Row("a: 'T' = 1", "", "a"),
    Row("from __future__ import annotations\na: T = 1\ndef f(x: U) -> V: pass", "", "annotations a f"),
    Row("a.b = c", "a c"),
    Row("a[i] = c", "a i c"),
    Row("a[i:j] = c", "a i j c"),
    Row("a.b += c", "a c"),
    Row("a[i] += c", "a i c"),
    Row("a, b.c, d[e] = f", "b d e f", "a"),
    Row("x = x.y = z", "z", "x"),
    Row("x.y = x = z", "x z", "x"),
    Row("i = a[i] = 1", "a", "i"),
    Row("a[i] = i = 1", "a i", "i"),
    Row("list = 3", "", "list"),
    Row("_, a = f()", "f", "_ a"),
    Row("a = 1\nb = a\nc = b", "", "a b c"),
    Row("a, b = b, a", "a b", "a b"),
    Row("pass"),
    Row(""),
    Row("# only a comment"),
]

DELETES = [
    Row("del a", "a", "", "", "a"),
    Row("del a, (b, [c])", "a b c", "", "", "a b c"),
    Row("del a.b; del c[d]", "a c d"),
    Row("a = 1; del a", "", "", "", "a"),
    Row("del a; a = 1", "a", "a"),
    Row("a = 1; del a; a", "a", "", "", "a"),
    Row("a = 1; del a; a = 2", "", "a"),
    Row("if c: del a", "a c", "", "", "a"),
    Row("a = 1\nif c: del a\na", "a c", "a", "", "a"),
    Row("for i in xs: del a", "xs a", "i", "", "a"),
    Row("a = 1\nfor i in xs:\n    a\n    del a", "xs a", "i a", "", "a"),
    Row("a = 1\nfor i in xs:\n    del a\n    a = 2\na", "xs", "i a"),
    Row("try: del a\nexcept NameError: pass", "a", "", "", "a"),
    Row("a = 1\ndef f(): return a\ndel a", "", "f", "a", "a"),
    Row("def f():\n    global a\n    del a", "a", "f", "", "a"),
    Row("def f():\n    x = 1\n    del x", "", "f"),
    Row("if c:\n    del a\n    raise E", "c a E", "", "", "a"),
    Row("class A:\n    x = 1\n    del x\n    x", "x", "A"),
]

BRANCHES = [
    Row("if c: x = 1\nelse: x = 2\nx", "c", "x"),
    Row("if c: x = 1\nelif d: x = 2\nelse: x = 3\nx", "c d", "x"),
    Row("if c: x = 1\nelif d: x = 2\nx", "c d x", "x"),
    Row("if c: x = 1\nelse: raise E\nx", "c E", "x"),
    Row("if c: raise E\nx = 1\nx", "c E", "x"),
    Row("if (x := f()) and (y := g()): x; y", "f g", "x y"),
    Row("if (x := f()) and (y := g()): pass\nx; y", "f g y", "x y"),
    Row("if (x := f()) or (y := g()): y", "f g y", "x y"),
    Row("if not (x := f()): pass\nelse: x", "f", "x"),
    Row("if True: x = 1\nx", "", "x"),
    Row("if False: x = 1\nx", "x", "x"),
    Row("if c: pass\nelse: x = 1\nx", "c x", "x"),
    Row("assert a, b", "a b"),
    Row("assert (a := f()), a", "f", "a"),
    Row("raise a from b", "a b"),
    Row("raise", ""),
    Row("raise E\nx", "E x"),
]

LOOPS = [
    Row("for i in a: i", "a", "i"),
    Row("for i in a: pass\nelse: i", "a i", "i"),
    Row("for i in i: pass", "i", "i"),
    Row("for a.b in c: pass", "a c"),
    Row("for a[i], j in c: pass", "a i c", "j"),
    Row("for i, (j, *k) in a: i + j + k", "a", "i j k"),
    Row("for i in a: x = i\nx", "a x", "i x"),
    Row("for i in a:\n    x\n    x = 1", "a x", "i x"),
    Row("x = 0\nfor i in a: x += i\nx", "a", "i x"),
    Row("for i in a:\n    if b: break\n    x = 1\nelse: x = 2\nx", "a b x", "i x"),
    Row("for i in a:\n    x = 1\n    break\nelse: x = 2\nx", "a", "i x"),
    Row("for i in a:\n    if b: continue\n    x = 1\nx", "a b x", "i x"),
    Row("while a: b", "a b"),
    Row("while (x := f()): x\nx", "f", "x"),
    Row("while True:\n    x = 1\n    break\nx", "", "x"),
    Row("while True:\n    if c: break\n    x = 1\nx", "c x", "x"),
    Row("while 1:\n    x = f()\n    if x: break\nx", "f", "x"),
    Row("while True: pass\nx", "x"),
    Row("while c: x = 1\nelse: y = 1\nx; y", "c x", "x y"),
    Row("while c:\n    x = 1\n    break\nelse: x = 2\nx", "c", "x"),
    Row("while True:\n    try:\n        x = f()\n    except E: continue\n    break\nx", "f E", "x"),
    Row("x = 1\ndel x\nwhile True:\n    if c: break\n    x = 2", "c", "x", "", "x"),
    Row("async for i in a: i", "a", "i"),
    Row("for i in range(3):\n    for j in range(i): j", "", "i j"),
]

EXCEPTIONS = [
    Row("try: x = f()\nexcept E: x = 1\nx", "f E", "x"),
    Row("try: x = f()\nexcept E: pass\nx", "f E x", "x"),
    Row("try: x = f()\nexcept E: raise\nx", "f E", "x"),
    Row("try: x = f()\nexcept: x", "f x", "x"),
    Row("try: f()\nexcept (A, B) as e: e", "f A B"),
    Row("try: f()\nexcept E as e: pass\ne", "f E e"),
    Row("e = 1\ntry: f()\nexcept E as e: pass\ne", "f E e", "e", "", "e"),
    Row("try: f()\nexcept E as e: e = 1", "f E", "e", "", "e"),
    Row("while True:\n    try: f()\n    except E as e: break\ne", "f E e"),
    Row("try: f()\nexcept A: a\nexcept B: b\nelse: c\nfinally: d", "f A a B b c d"),
    Row("try: x = 1\nexcept E: pass\nelse: x", "E", "x"),
    Row("try: pass\nexcept E: x = 1\nelse: x = 2\nx", "E", "x"),
    Row("try: x = f()\nfinally: x", "f x", "x"),
    Row("try: f()\nfinally: x = 1\nx", "f", "x"),
    Row("try: x = f()\nfinally: pass\nx", "f", "x"),
    Row("for i in a:\n    try:\n        break\n    finally: x = 1\nelse: x = 2\nx", "a", "i x"),
    Row("try:\n    try: x = f()\n    finally: y = g()\nexcept E: x; y", "f E g x y", "x y"),
    Row("try:\n    f()\n    x = 1\nexcept E:\n    x = 2\n    raise\nfinally: x", "f E x", "x"),
    Row("try: import np\nexcept ImportError: np = None\nnp", "", "np"),
    Row("try: def_ = f\nexcept E: pass\nelse:\n    x = 1\nx", "f E x", "def_ x"),
    Row("with a: b", "a b"),
    Row("with a as x: x", "a", "x"),
    Row("with a as x: y = 1\ny", "a y", "x y"),
    Row("with a as x: pass\nx", "a", "x"),
    Row("with a as (x, y): pass\nx", "a x", "x y"),
    Row("with a as x, x.b() as y: y", "a", "x y"),
    Row("with a as x, b as y: pass\ny", "a b y", "x y"),
    Row("with a as b.c, d as e[f]: pass", "a b d e f"),
    Row("async with a as x: x", "a", "x"),
    Row("with (a as x, b as y): x; y", "a b", "x y"),
    Row("with a: raise E\nx", "a E x"),
]

MATCHES = [
    Row("match a:\n    case 1 | 'x' | None: b", "a b"),
    Row("match a:\n    case x: x\nx", "a", "x"),
    Row("match a:\n    case _: b", "a b"),
    Row("match a:\n    case 1: x = 1\n    case _: x = 2\nx", "a", "x"),
    Row("match a:\n    case 1: x = 1\nx", "a x", "x"),
    Row("match a:\n    case b.c: pass", "a b"),
    Row("match a:\n    case -1 | 2 + 3j: pass", "a"),
    Row("match a:\n    case [x, *rest] | (x, rest): x; rest", "a", "x rest"),
    Row("match a:\n    case [x, *_]: x", "a", "x"),
    Row("match a:\n    case {'k': x, **rest}: x; rest", "a", "x rest"),
    Row("match a:\n    case {b.c: x}: pass", "a b", "x"),
    Row("match a:\n    case C(x, y=z): x; z", "a C", "x z"),
    Row("match a:\n    case m.C(): pass", "a m"),
    Row("match a:\n    case [1, x] as whole: x; whole", "a", "x whole"),
    Row("match a:\n    case x if x > b: x\n    case y: pass", "a b", "x y"),
    Row("match a:\n    case x if c: pass\nx", "a c", "x"),
    Row("match a:\n    case [x]: pass\n    case [_, _]: x", "a x", "x"),
    Row("match (n := f()):\n    case 1: n", "f", "n"),
    Row("match a, b:\n    case x, y: pass", "a b", "x y"),
    Row("match = a; case = match", "a", "match case"),
]

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

TABLE = (
    EXPRESSIONS + ASSIGNMENTS + DELETES + BRANCHES + LOOPS + EXCEPTIONS + MATCHES + FUNCTIONS + CLASSES + IMPORTS + BUILTINS
)


def check(row: Row) -> None:
    planned = plan(row.cell, NOTHING)
    assert planned.reads == set(row.reads.split())
    assert planned.weak_reads == set(row.weak.split())
    assert planned.binds == set(row.binds.split())
    assert planned.deletes == set(row.deletes.split())


@pytest.mark.parametrize("row", TABLE, ids=[row.cell for row in TABLE])
def test_row(row: Row) -> None:
    check(row)


@pytest.mark.parametrize(("minor", "row"), NEWER, ids=[row.cell for _, row in NEWER])
def test_row_of_newer_grammar(minor: int, row: Row) -> None:
    if sys.version_info < (3, minor):
        pytest.skip(f"grammar of Python 3.{minor}")
    check(row)


@pytest.mark.parametrize("row", TABLE, ids=[row.cell for row in TABLE])
def test_reads_and_weak_reads_are_disjoint(row: Row) -> None:
    planned = plan(row.cell, NOTHING)
    assert not planned.reads & planned.weak_reads
