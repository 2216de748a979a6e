"""warmcell: a notebook cell runs on a warm GPU worker, as if it had run here.

The public names are looked up when they are used, so that importing this costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from jupyter_ext.names import plan
    from kernel_proxy.errors import WarmcellError
    from kernel_proxy.handles import Handle
    from kernel_proxy.image import Image
    from kernel_proxy.runtime import connect
    from kernel_proxy.secret import Secret
    from kernel_proxy.volume import Volume

__version__ = "0.1.0"

__all__ = [
    "Handle",
    "Secret",
    "Volume",
    "Image",
    "WarmcellError",
    "__version__",
    "connect",
    "load_ipython_extension",
    "plan",
    "unload_ipython_extension",
]

_HOMES = {
    "Handle": "kernel_proxy.handles",
    "Image": "kernel_proxy.image",
    "WarmcellError": "kernel_proxy.errors",
    "connect": "kernel_proxy.runtime",
    "Secret": "kernel_proxy.secret",
    "Volume": "kernel_proxy.volume",
    "plan": "jupyter_ext.names",
}


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Put `%%gpu` and `%gpu` into a shell; IPython calls it on `%load_ext warmcell`."""
    importlib.import_module("jupyter_ext.extension").load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take `%%gpu` and `%gpu` out of a shell; the runtime and its sessions live on."""
    importlib.import_module("jupyter_ext.extension").unload(shell)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
