"""A table of values: what a cell defines here -> what an expression gives there."""

from __future__ import annotations

import pytest

from tests.payload.far import Notebook

CROSSES = {
    "lambda": ("x = lambda v: v + 1", "x(1)", 2),
    "nested closure": (
        "def make(n):\n def outer():\n  def inner(): return n\n  return inner\n return outer\nx = make(4)",
        "x()()",
        4,
    ),
    "closure over itself": ("def make():\n def f(n): return 1 if n < 2 else n * f(n - 1)\n return f\nx = make()", "x(4)", 24),
    "empty cell": (
        "def make():\n def f(): return late\n if False: late = 1\n return f\nx = make()",
        "[c for c in x.__code__.co_freevars]",
        ["late"],
    ),
    "defaults and keyword defaults": ("def x(a, b=[2], *, c=3): return a, b, c", "x(1)", (1, [2], 3)),
    "function attributes": ("def x(): return x.calls\nx.calls = 7", "x()", 7),
    "generator function": ("def x():\n yield from (1, 2)", "list(x())", [1, 2]),
    "async function": ("async def x(): return 5", "__import__('asyncio').run(x())", 5),
    "partial": ("import functools\ndef f(a, b): return a - b\nx = functools.partial(f, b=1)", "x(3)", 2),
    "partial method": (
        "import functools\nclass A:\n def f(self, a): return a\n g = functools.partialmethod(f, 9)\nx = A()",
        "x.g()",
        9,
    ),
    "bound method": ("class A:\n def __init__(self): self.n = 3\n def f(self): return self.n\nx = A().f", "x()", 3),
    "static and class method": (
        "class A:\n @staticmethod\n def s(): return 1\n @classmethod\n def c(cls): return cls.s() + 1\nx = A",
        "(x.s(), x.c())",
        (1, 2),
    ),
    "property": ("class A:\n @property\n def p(self): return 6\nx = A()", "x.p", 6),
    "cached property": (
        "import functools\nclass A:\n n = 0\n @functools.cached_property\n def p(self):\n  self.n += 1\n  return self.n\nx = A()",
        "(x.p, x.p)",
        (1, 1),
    ),
    "slots": (
        "class A:\n __slots__ = ('a', 'b', '__c')\n def f(self): self.__c = 3; return self.__c\nx = A(); x.a = 1",
        "(x.a, hasattr(x, 'b'), hasattr(x, '__dict__'), x.f())",
        (1, False, False, 3),
    ),
    "slotted dataclass": (
        "from dataclasses import dataclass\n@dataclass(slots=True)\nclass A:\n a: int = 2\nx = A(1)",
        "(x.a, hasattr(x, '__dict__'))",
        (1, False),
    ),
    "dataclass": (
        "from dataclasses import dataclass, field\n@dataclass(order=True)\nclass P:\n a: int\n b: list = field(default_factory=list)\nx = P(1)",
        "(repr(x), x == type(x)(1), x < type(x)(2))",
        ("P(a=1, b=[])", True, True),
    ),
    "frozen dataclass as key": (
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass P:\n a: int\nx = {P(1): 'one'}",
        "x[type(next(iter(x)))(1)]",
        "one",
    ),
    "enum": (
        "import enum\nclass C(enum.Enum):\n R = 1\n def up(self): return self.name\nx = C.R",
        "(x.up(), x is type(x).R)",
        ("R", True),
    ),
    "int flag": ("import enum\nclass C(enum.IntFlag):\n A = 1\n B = 2\nx = C.A | C.B", "(int(x), type(x).A in x)", (3, True)),
    "functional enum": ("import enum\nC = enum.Enum('C', 'A B', module=__name__)\nx = C.B", "x.value", 2),
    "NamedTuple": (
        "from typing import NamedTuple\nclass N(NamedTuple):\n a: int\n b: str = 'q'\nx = N(1)",
        "(x.b, x._fields)",
        ("q", ("a", "b")),
    ),
    "namedtuple": (
        "import collections\nN = collections.namedtuple('N', 'a b')\nx = N(1, 2)",
        "(x.b, x._asdict())",
        (2, {"a": 1, "b": 2}),
    ),
    "TypedDict": ("from typing import TypedDict\nclass x(TypedDict):\n a: int", "x(a=1)", {"a": 1}),
    "generic class": (
        "from typing import Generic, TypeVar\nT = TypeVar('T')\nclass Box(Generic[T]):\n def __init__(self, v: T): self.v = v\nx = Box[int](3)",
        "(x.v, type(x)[str].__name__)",
        (3, "Box"),
    ),
    "type variable": ("from typing import TypeVar\nx = TypeVar('x', bound=int)", "x.__bound__ is int", True),
    "parameter specification": ("from typing import ParamSpec\nx = ParamSpec('x')", "x.__name__", "x"),
    "new type": ("from typing import NewType\nx = NewType('x', int)", "(x(3), x.__name__)", (3, "x")),
    "alias": ("x = list[dict[str, int]]", "repr(x)", "list[dict[str, int]]"),
    "abstract class": (
        "import abc\nclass A(abc.ABC):\n @abc.abstractmethod\n def f(self): ...\nclass B(A):\n def f(self): return 2\nx = [A, B()]",
        "(x[1].f(), isinstance(x[1], x[0]), sorted(x[0].__abstractmethods__))",
        (2, True, ["f"]),
    ),
    "metaclass": ("class M(type):\n def __len__(cls): return 3\nclass x(metaclass=M): pass", "len(x)", 3),
    "init subclass": (
        "class A:\n seen = []\n def __init_subclass__(cls, **kw): A.seen.append(cls.__name__)\nclass B(A): pass\nx = B()",
        "type(x).__name__",
        "B",
    ),
    "super": ("class A:\n def f(self): return 1\nclass B(A):\n def f(self): return super().f() + 1\nx = B()", "x.f()", 2),
    "nested class": ("class A:\n class B:\n  v = 4\nx = A.B()", "(x.v, type(x).__qualname__)", (4, "A.B")),
    "descriptor": (
        "class D:\n def __set_name__(self, o, n): self.n = n\n def __get__(self, i, o): return self.n\nclass A:\n f = D()\nx = A()",
        "x.f",
        "f",
    ),
    "cache": (
        "import functools\n@functools.lru_cache(maxsize=7)\ndef x(n): return n if n < 2 else x(n - 1) + x(n - 2)",
        "(x(30), x.cache_info().maxsize, x.cache_info().currsize)",
        (832040, 7, 7),
    ),
    "cache in a closure": (
        "import functools\ndef make():\n @functools.cache\n def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)\n return fib\nx = make()",
        "(x(30), x.cache_info().misses)",
        (832040, 31),
    ),
    "cached method": (
        "import functools\nclass A:\n @functools.lru_cache\n def f(self): return 8\nx = A()",
        "(x.f(), x.f(), type(x).f.cache_info().hits)",
        (8, 8, 1),
    ),
    "single dispatch": (
        "import functools\n@functools.singledispatch\ndef x(v): return 'any'\n@x.register\ndef _(v: int): return 'int'\n@x.register(list)\ndef _(v): return 'list'",
        "[x(1), x([]), x('')]",
        ["int", "list", "any"],
    ),
    "single dispatch method": (
        "import functools\nclass A:\n @functools.singledispatchmethod\n def f(self, v): return 'any'\n @f.register\n def _(self, v: int): return 'int'\nx = A()",
        "[x.f(1), x.f('')]",
        ["int", "any"],
    ),
    "wrapped function": (
        "import functools\ndef twice(f):\n @functools.wraps(f)\n def wrapper(*a): return f(f(*a))\n return wrapper\n@twice\ndef x(v): return v + 1",
        "(x(1), x.__name__, x.__wrapped__(1))",
        (3, "x", 2),
    ),
    "wrapped library function": (
        "import functools, json\n@functools.wraps(json.dumps)\ndef x(v): return 'mine ' + json.dumps(v)",
        "x(1)",
        "mine 1",
    ),
    "submodule used by code": (
        "import xml\nimport xml.dom.minidom\ndef x(): return xml.dom.minidom.__name__",
        "x()",
        "xml.dom.minidom",
    ),
    "module": ("import json as x", "x.__name__", "json"),
    "dynamic module": ("import types\nx = types.ModuleType('dyn')\nx.v = 3", "(x.v, x.__name__)", (3, "dyn")),
    "logger": ("import logging\nx = logging.getLogger('a.b')", "x is __import__('logging').getLogger('a.b')", True),
    "pattern": ("import re\nx = re.compile('a+', re.I)", "x.match('AA').end()", 2),
    "random state": (
        "import random\nx = random.Random(5)\ny = random.Random(5).random()\nx = [x, y]",
        "x[0].random() == x[1]",
        True,
    ),
    "list iterator": ("x = iter([1, 2, 3]); next(x)", "list(x)", [2, 3]),
    "zip": ("x = zip([1, 2], 'ab')", "list(x)", [(1, "a"), (2, "b")]),
    "recursive list": ("x = []; x.append(x)", "x[0] is x", True),
    "recursive object": ("class A: pass\nx = A(); x.me = {'x': [x]}", "x.me['x'][0] is x", True),
    "set of own hashes": ("class A:\n def __init__(s): s.v = 1\n def __hash__(s): return hash(s.v)\nx = {A()}", "len(x)", 1),
    "exception": ("x = ValueError('a', 2)", "(type(x).__name__, x.args)", ("ValueError", ("a", 2))),
    "exception with its own init": (
        "class E(Exception):\n def __init__(self, code, *, where):\n  super().__init__(f'{code} at {where}')\n  self.code = code\nx = E(4, where='w')",
        "(str(x), x.code)",
        ("4 at w", 4),
    ),
    "own key error": (
        "class E(KeyError):\n def __init__(self, k): super().__init__(k)\nx = E('k')",
        "(str(x), x.args)",
        ("'k'", ("k",)),
    ),
    "os error": ("x = FileNotFoundError(2, 'gone', 'f.txt')", "(x.filename, x.errno)", ("f.txt", 2)),
    "asyncio lock": ("import asyncio\nx = asyncio.Lock()", "x.locked()", False),
    "memory view": ("x = memoryview(bytearray(b'abcd')).cast('H')", "(x.format, x.readonly, x.tobytes())", ("H", False, b"abcd")),
    "read-only memory view": ("x = memoryview(b'ab')", "(x.readonly, bytes(x))", (True, b"ab")),
    "bytes and bytearray": ("x = (b'a' * 5000, bytearray(b'b' * 5000))", "(type(x[0]).__name__, len(x[1]))", ("bytes", 5000)),
    "string and bytes io": ("import io\nx = io.BytesIO(b'abc'); x.seek(1)", "x.read()", b"bc"),
    "dict views": ("x = [{1: 2}.keys(), {1: 2}.items()]", "(list(x[0]), list(x[1]))", ([1], [(1, 2)])),
    "mapping proxy": ("import types\nx = types.MappingProxyType({1: 2})", "x[1]", 2),
    "simple namespace": ("import types\nx = types.SimpleNamespace(a=1)", "x.a", 1),
    "weak set": ("import weakref\nclass A: pass\na = A(); x = [a, weakref.WeakSet([a])]", "x[0] in x[1]", True),
    "ordered and default dict": (
        "import collections\nx = collections.defaultdict(lambda: 5, a=1)",
        "(x['a'], x['b'])",
        (1, 5),
    ),
    "standard streams": (
        "import sys\nx = [sys.stdout, sys.stderr]",
        "(x[0] is __import__('sys').stdout, x[1] is __import__('sys').stderr)",
        (True, True),
    ),
    "equality that raises": (
        "class A:\n def __eq__(s, o): raise RuntimeError\n def __hash__(s): raise RuntimeError\n v = 2\nx = [A(), A()]",
        "(len(x), x[0].v)",
        (2, 2),
    ),
    "decimal, date, uuid, path": (
        "import decimal, datetime, uuid, pathlib\nx = [decimal.Decimal('1.5'), datetime.date(2020, 1, 2), uuid.UUID(int=5), pathlib.PurePosixPath('a/b')]",
        "[str(v) for v in x]",
        ["1.5", "2020-01-02", "00000000-0000-0000-0000-000000000005", "a/b"],
    ),
}


@pytest.mark.parametrize("setup, expression, expected", CROSSES.values(), ids=CROSSES)
def test_crosses(notebook: Notebook, setup: str, expression: str, expected: object) -> None:
    notebook.cell(setup)
    notebook.send("x")
    assert notebook.far.ask(expression) == expected


@pytest.mark.parametrize("setup, expression, expected", CROSSES.values(), ids=CROSSES)
def test_comes_back(notebook: Notebook, setup: str, expression: str, expected: object) -> None:
    notebook.cell(setup)
    notebook.send("x")
    notebook.fetch("x")
    assert eval(expression, notebook.names) == expected


def test_a_module_arrives_as_the_one_there(notebook: Notebook) -> None:
    notebook.names["x"] = notebook.module
    notebook.send("x")
    assert notebook.far.ask("vars(x) is globals()")


def test_the_namespace_itself_arrives_as_the_one_there(notebook: Notebook) -> None:
    notebook.cell("big = 'b' * 100_000\nx = {'all': globals()}")
    assert notebook.send("x").bundle.size_bytes < 1000
    assert notebook.far.ask("x['all'] is globals()")
