"""The sorts of value that cannot travel, as a table: class -> what it is in words, and what to do instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A sort of value that cannot travel.

    Args:
        words: What it is, with its article.
        hint: What to do instead.
        refused: Whether it would pickle, and mean something else on arrival.
    """

    words: str
    hint: str
    refused: bool = False


_INSIDE = "create it inside the cell, or leave it out in the class's `__getstate__`"
_FILE = Kind("an open file", "open it inside the cell, or read it here and send what it holds", refused=True)
_LOCK, _SYNC = Kind("a thread lock", _INSIDE), Kind("a threading event, condition or semaphore", _INSIDE)
_THREAD, _QUEUE = (
    Kind("a thread", "start it inside the cell"),
    Kind("a queue", "send a list of its items instead"),
)
_PROCESS = Kind("a running process", "start it inside the cell")
_POOL = Kind("a pool of workers", "create it inside the cell")
_SHELL = Kind(
    "the IPython shell",
    "use `get_ipython()` inside the cell: it is the worker's own shell there",
    refused=True,
)
_LOOP = Kind("an event loop, task or future", "await it here, or create it inside the cell")
_DATABASE = Kind("a database connection", "connect inside the cell, or send the rows instead")
_STREAM = Kind("a notebook's output stream", "print inside the cell instead")
_WIDGET = Kind("a widget", "make it inside the cell that uses it, or send its `.value`", refused=True)
_AGAIN = "call it again inside the cell, or send its items as a list"

KINDS: Mapping[str, Kind] = {
    "_io.TextIOWrapper": _FILE,
    "_io.BufferedReader": _FILE,
    "_io.BufferedWriter": _FILE,
    "_io.BufferedRandom": _FILE,
    "_io.FileIO": _FILE,
    "_thread.lock": _LOCK,
    "_thread.RLock": _LOCK,
    "threading.Condition": _SYNC,
    "threading.Event": _SYNC,
    "threading.Semaphore": _SYNC,
    "threading.Barrier": _SYNC,
    "threading.Thread": _THREAD,
    "_thread._local": Kind("thread-local data", _INSIDE),
    "queue.Queue": _QUEUE,
    "_queue.SimpleQueue": _QUEUE,
    "multiprocessing.queues.Queue": _QUEUE,
    "multiprocessing.queues.SimpleQueue": _QUEUE,
    "multiprocessing.synchronize.SemLock": Kind("a lock between processes", _INSIDE),
    "multiprocessing.process.BaseProcess": _PROCESS,
    "subprocess.Popen": _PROCESS,
    "multiprocessing.pool.Pool": _POOL,
    "concurrent.futures._base.Executor": _POOL,
    "concurrent.futures._base.Future": _LOOP,
    "_asyncio.Future": _LOOP,
    "asyncio.events.AbstractEventLoop": _LOOP,
    "_socket.socket": Kind("a network socket", "connect inside the cell"),
    "select.epoll": Kind("an operating system handle", _INSIDE),
    "mmap.mmap": Kind("a memory-mapped file", "open it inside the cell, or send `bytes(...)` of it"),
    "sqlite3.Connection": _DATABASE,
    "sqlite3.Cursor": _DATABASE,
    "builtins.generator": Kind("a generator", _AGAIN),
    "builtins.async_generator": Kind("an asynchronous generator", _AGAIN),
    "builtins.coroutine": Kind("a coroutine", "await it here, or call the function inside the cell"),
    "builtins.frame": Kind("a running frame", "send the values you need from it"),
    "builtins.traceback": Kind("a traceback", "send `traceback.format_exc()` instead"),
    "weakref.ReferenceType": Kind("a weak reference", _INSIDE),
    "_contextvars.ContextVar": Kind("a context variable", "send its value instead"),
    "_contextvars.Context": Kind("a context", "send the values you need from it"),
    "_tkinter.tkapp": Kind("a window", "create it in the notebook only"),
    "IPython.core.interactiveshell.InteractiveShell": _SHELL,
    "ipywidgets.widgets.widget.Widget": _WIDGET,
    "comm.base_comm.BaseComm": Kind("a comm", _INSIDE),
    "ipykernel.iostream.OutStream": _STREAM,
}
"""`module.Class`, found anywhere among a class's bases -> its kind."""


class Refused(TypeError):
    """A value that would pickle, and mean something else on arrival."""


def kind_of(cls: type) -> Kind | None:
    """Return the kind of a class that is known not to travel, else None."""
    for base in type.__dict__["__mro__"].__get__(cls):
        kind = KINDS.get(f"{base.__module__}.{base.__qualname__}")
        if kind is not None:
            return kind
    return None
