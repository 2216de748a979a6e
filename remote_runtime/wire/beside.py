"""Whether threads of the user's run beside the calling one, so that a value may change between two looks at it.

    threads of this process -> package of their class or function -> IPython's or ours, or else the user's
"""

from __future__ import annotations

import threading

_OTHERS = frozenset({"ipykernel", "IPython", "zmq", "tornado", "jupyter_client", "debugpy", "pydevd", "grpc", "tqdm"})
_OTHERS |= {"_pydevd_bundle", "warmcell", "jupyter_ext", "kernel_proxy", "remote_runtime"}


def users_threads() -> bool:
    """Tell whether a thread runs beside this one that may change the user's values."""
    here = threading.current_thread()
    return any(
        thread is not here and thread is not threading.main_thread() and _home(thread) not in _OTHERS
        for thread in threading.enumerate()
    )


def _home(thread: threading.Thread) -> str:
    """Return the package that a thread's work was written in; of a plain one, its function's."""
    target = getattr(thread, "_target", None)
    module = type(thread).__module__
    if module == threading.__name__ and target is not None:
        module = getattr(target, "__module__", "")
    return str(module).partition(".")[0]
