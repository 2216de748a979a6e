"""Lets this project's modules, and no others, find what another system has: no fork, no fcntl, no Unix socket, no /proc.

An interpreter with this folder on its path and `PRETEND_PLATFORM` set imports as ever, but a module of ours that
imports `os`, `sys`, `socket` and the like gets them without the names that the other system lacks.
"""

from __future__ import annotations

import builtins
import importlib
import os
import sys
import types
from typing import Any

ROOMS = frozenset({"warmcell", "jupyter_ext", "kernel_proxy", "remote_runtime"})

LINUX_ONLY = {
    "os": {"memfd_create", "pidfd_open", "eventfd", "posix_fadvise", "sched_getaffinity", "sched_setaffinity", "O_TMPFILE"},
    "socket": {"SOCK_SEQPACKET", "SO_PEERCRED", "MSG_CMSG_CLOEXEC", "SOCK_CLOEXEC"},
    "signal": {"pidfd_send_signal", "sigtimedwait", "sigwaitinfo"},
    "select": {"epoll"},
    "sys": set(),
}
POSIX_ONLY = {
    "os": {
        "fork", "forkpty", "register_at_fork", "posix_spawn", "wait", "wait4", "waitid", "WNOHANG", "getuid", "geteuid",
        "getgid", "setsid", "getsid", "getpgid", "setpgid", "killpg", "mkfifo", "sysconf", "statvfs", "fchmod", "chown",
        "set_blocking", "get_blocking", "openpty", "nice", "O_CLOEXEC", "pread", "pwrite", "uname",
    },
    "socket": {"AF_UNIX", "SCM_RIGHTS", "send_fds", "recv_fds", "CMSG_SPACE", "MSG_DONTWAIT", "MSG_NOSIGNAL"},
    "signal": {"SIGKILL", "SIGHUP", "SIGCHLD", "SIGSTOP", "SIGUSR1", "pthread_sigmask", "pthread_kill", "setitimer", "alarm", "pause"},
    "select": {"poll"},
    "sys": set(),
}  # fmt: skip
POSIX_MODULES = {"fcntl", "pwd", "grp", "resource", "termios", "tty", "pty", "posix", "_posixsubprocess", "syslog"}

SYSTEMS = {
    "darwin": (LINUX_ONLY, set(), {}),
    "win32": ({m: LINUX_ONLY[m] | POSIX_ONLY[m] for m in LINUX_ONLY}, POSIX_MODULES, {"os": {"name": "nt"}}),
}


class Narrow(types.ModuleType):
    """A module without some of its names, and with other facts."""

    def __init__(self, name: str, missing: set[str], facts: dict[str, Any]) -> None:
        super().__init__(name)
        self.__dict__.update(_real=importlib.import_module(name), _missing=missing, _facts=facts)

    def __getattr__(self, name: str) -> Any:
        if name in self._missing:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return self._facts[name] if name in self._facts else getattr(self._real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._real, name, value)


def pretend(platform: str) -> None:
    missing, modules, facts = SYSTEMS[platform]
    facts = {**facts, "sys": {"platform": platform}}
    narrow = {name: Narrow(name, missing[name], facts.get(name, {})) for name in missing}
    real_import = builtins.__import__

    def narrow_import(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        if level == 0 and room_of(globals) in ROOMS:
            if name.partition(".")[0] in modules:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            if name in narrow:
                return narrow[name]
        return real_import(name, globals, locals, fromlist, level)

    builtins.__import__ = narrow_import
    sys.addaudithook(hide_proc)


def room_of(globals: Any) -> str:
    return str((globals or {}).get("__name__", "")).partition(".")[0]


def hide_proc(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in ("open", "os.listdir") or not str(arguments[0]).startswith("/proc"):
        return
    frame = sys._getframe(1)
    for _ in range(6):  # pathlib and io stand between
        if frame is not None and room_of(frame.f_globals) in ROOMS:
            raise FileNotFoundError(2, "No such file or directory", arguments[0])
        frame = frame.f_back if frame is not None else None


if "PRETEND_PLATFORM" in os.environ:
    pretend(os.environ["PRETEND_PLATFORM"])
