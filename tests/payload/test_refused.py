"""Values that cannot travel: each is refused with its variable, the path inside it, its kind and the cause."""

from __future__ import annotations

import pytest

from remote_runtime.wire.payload import PackError, TooLarge, pack
from tests.payload.far import Notebook

_A = "class A: pass\n"

REFUSED = {
    "file for writing": ("x = open('{tmp}/f', 'w')", "x", "an open file (mode w)"),
    "file for reading": ("open('{tmp}/f', 'w').close()\nx = open('{tmp}/f')", "x", "an open file (mode r)"),
    "binary file": ("open('{tmp}/f', 'w').close()\nx = {'fh': open('{tmp}/f', 'rb')}", "x['fh']", "an open file (mode rb)"),
    "lock": ("import threading\nx = threading.Lock()", "x", "a thread lock"),
    "lock inside": (
        _A + "import threading\nx = A(); x.trainer = A(); x.trainer._lock = threading.RLock()",
        "x.trainer._lock",
        "a thread lock",
    ),
    "lock in a slot": (
        "import threading\nclass A: __slots__ = ('lock',)\nx = A(); x.lock = threading.Lock()",
        "x.lock",
        "a thread lock",
    ),
    "lock in rows": ("import threading\nx = [0, 1, (2, {'fh': threading.Lock()})]", "x[2][1]['fh']", "a thread lock"),
    "lock in a closure": (
        "import threading\ndef make():\n lock = threading.Lock()\n def f(): return lock\n return f\nx = make()",
        "x.lock",
        "a thread lock",
    ),
    "lock in a default": ("import threading\ndef x(a=threading.Lock()): pass", "x.__defaults__[0]", "a thread lock"),
    "lock in a class": ("import threading\nclass x:\n lock = threading.Lock()", "x.lock", "a thread lock"),
    "lock in a named tuple": (
        "import threading, collections\nx = collections.namedtuple('N', 'a b')(1, [threading.Lock()])",
        "x[1][0]",
        "a thread lock",
    ),
    "lock in an ordered dict": (
        "import threading, collections\nx = collections.OrderedDict(a=threading.Lock())",
        "x['a']",
        "a thread lock",
    ),
    "lock under an odd key": (_A + "import threading\nx = {A(): threading.Lock()}", "x[<A>]", "a thread lock"),
    "event": ("import threading\nx = threading.Event()", "x", "a threading event, condition or semaphore"),
    "thread": ("import threading\nx = [threading.Thread()]", "x[0]", "a thread"),
    "thread-local": ("import threading\nx = threading.local()", "x", "thread-local data"),
    "queue": ("import queue\nx = queue.Queue()", "x", "a queue"),
    "simple queue": ("import queue\nx = queue.SimpleQueue()", "x", "a queue"),
    "executor": ("import concurrent.futures as c\nx = c.ThreadPoolExecutor()", "x", "a pool of workers"),
    "process": ("import subprocess\nx = subprocess.Popen(['true']); x.wait()", "x", "a running process"),
    "socket": ("import socket\nx = socket.socket(); x.close()", "x", "a network socket"),
    "database": ("import sqlite3\nx = sqlite3.connect(':memory:'); x.close()", "x", "a database connection"),
    "generator": ("x = (i for i in range(3))", "x", "a generator"),
    "coroutine": ("async def f(): pass\nx = f(); x.close()", "x", "a coroutine"),
    "frame": ("import sys\nx = sys._getframe()", "x", "a running frame"),
    "traceback": ("try: 1 / 0\nexcept Exception as e: x = e.__traceback__", "x", "a traceback"),
    "weak reference": (_A + "import weakref\na = A(); x = weakref.ref(a)", "x", "a weak reference"),
    "context variable": ("import contextvars\nx = contextvars.ContextVar('x')", "x", "a context variable"),
    "memory map": ("import mmap\nx = mmap.mmap(-1, 10)", "x", "a memory-mapped file"),
    "shell": (
        "from IPython.core.interactiveshell import InteractiveShell\nx = InteractiveShell.__new__(InteractiveShell)",
        "x",
        "the IPython shell",
    ),
    "reduce that raises": (
        "class Evil:\n def __reduce__(self): raise ValueError('not me')\nx = {'a': [Evil()]}",
        "x['a'][0]",
        "a `Evil`, which cannot be pickled (ValueError: not me)",
    ),
    "getstate that raises": (
        "class Evil:\n def __getstate__(self): raise KeyError('gone')\nx = Evil()",
        "x",
        "a `Evil`, which cannot be pickled (KeyError: 'gone')",
    ),
    "error without a text": (
        "class Bad(Exception):\n def __str__(self): raise RuntimeError\nclass Evil:\n def __reduce__(self): raise Bad\nx = Evil()",
        "x",
        "a `Evil`, which cannot be pickled (Bad)",
    ),
    "deep": ("x = []\nfor _ in range(100_000): x = [x]", "x", "nested too deeply to be pickled"),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("setup, path, kind", REFUSED.values(), ids=REFUSED)
def test_is_refused(notebook: Notebook, tmp_path, setup: str, path: str, kind: str) -> None:
    notebook.cell(setup.replace("{tmp}", str(tmp_path)))
    with pytest.raises(PackError) as caught:
        notebook.pack("x")
    subject = "it" if path == "x" else f"`{path}`"
    first, hint = str(caught.value).splitlines()
    assert first.startswith(f"`x` cannot travel: {subject} is {kind}")
    assert hint.startswith("hint: ")
    assert caught.value.path == path


def test_the_original_cause_is_kept(notebook: Notebook) -> None:
    notebook.cell("import threading\nx = threading.Lock()")
    with pytest.raises(PackError, match=r"\(TypeError: cannot pickle '_thread\.lock' object\)") as caught:
        notebook.pack("x")
    assert isinstance(caught.value.cause, TypeError)


def test_the_variable_is_named_among_many(notebook: Notebook) -> None:
    notebook.cell("a, c = 1, 3\ndef b(): return d\nd = (i for i in ())")
    with pytest.raises(PackError, match="`d` cannot travel"):
        notebook.pack("a", "b", "c")


def test_no_method_of_a_value_is_called_to_find_it(notebook: Notebook) -> None:
    notebook.cell(
        "import threading\nclass A:\n def __eq__(s, o): raise SystemExit\n __hash__ = __repr__ = __eq__\n"
        "x = [A(), A()]; x[1].lock = threading.Lock()"
    )
    with pytest.raises(PackError, match=r"`x\[1\]\.lock` is a thread lock"):
        notebook.pack("x")


def test_a_search_ends(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remote_runtime.wire.problems.STEPS", 10)
    notebook.cell("import threading\nx = [*map(str, range(20)), threading.Lock()]")
    with pytest.raises(PackError, match="`x` cannot travel: it is a `list`, which cannot be pickled"):
        notebook.pack("x")


@pytest.mark.parametrize("value", [list(range(10_000)), b"b" * 10_000, "s" * 10_000], ids=["list", "bytes", "str"])
def test_a_limit_is_kept(value: object) -> None:
    with pytest.raises(TooLarge, match="`x` takes the bundle over 5000 bytes"):
        pack({"a": 1, "x": value}, namespace={}, limit_bytes=5000)


def test_a_limit_counts_buffers() -> None:
    np = pytest.importorskip("numpy")
    with pytest.raises(TooLarge):
        pack({"x": np.zeros(5000)}, namespace={}, limit_bytes=5000)
    assert pack({"x": np.zeros(5000)}, namespace={}, limit_bytes=41_000).bundle.size_bytes > 40_000
