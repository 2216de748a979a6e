"""The threads of this process, and which of them no fork takes along.

    /proc/self/task -> ids -> a fork that ends at once -> ids that are still here

Some libraries end their idle threads just before a fork and start them again when they need them: those are
harmless, and gone after the trial. A thread that is still here knows nothing of forks; a child would lack it, and
wait for ever for a lock that it held.
"""

from __future__ import annotations

import os
import signal
import threading
import warnings


def ids() -> frozenset[int]:
    """Return the ids of this process's threads, as the system counts them."""
    try:
        return frozenset(map(int, os.listdir("/proc/self/task")))
    except OSError:  # not Linux: Python's own threads are all that can be seen
        return frozenset(thread.native_id or 0 for thread in threading.enumerate())


def fork_quietly() -> int:
    """Fork; return 0 in the child, its pid in the parent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a library's pool of idle threads; it restarts them
        return os.fork()


def surviving_a_fork() -> frozenset[int]:
    """Return the ids of other threads that are there before and after a fork.

    The fork is a real one, as only a fork runs what libraries do about it. Its child ends without a step of ours,
    by itself or by SIGKILL where it hangs already.
    """
    pid = fork_quietly()
    if pid == 0:
        os._exit(0)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return ids() - {threading.get_native_id()}
