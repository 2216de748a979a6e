"""An exception as text: the user's frames as IPython shows them, and all frames apart.

    exception -> frames from the cell on, without IPython's and the runtime's -> lines
              -> every frame -> full lines

Rendering runs the user's code (`__str__`, `_render_traceback_`) and may fail in any way: each step has a
plainer one behind it. Texts are cut where they would not fit into a message.
"""

from __future__ import annotations

import builtins
import copy
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import IPython
import pygments.formatters.terminal256  # noqa: F401  so that a worker's first traceback does not wait for imports
import stack_data  # noqa: F401
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from remote_runtime.wire import limits
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.worker.compiling import CELL_MAGIC, LINE_MAGIC

MESSAGE_BYTES = 256 * limits.KIB
TEXT_BYTES = 1 * limits.MIB

_OURS = (str(Path(IPython.__file__).parent), str(Path(__file__).parent))
_GROUP: type[BaseException] | tuple[()] = getattr(builtins, "BaseExceptionGroup", ())
_CELL_FILE = re.compile(r'File "<ipython-input-(\d+)-[0-9a-f]+>", line (\d+)')
_EXIT_HINT = "the session lives on; to give it back, use `%gpu stop`"


@dataclass(frozen=True)
class _Case:
    """An exception, the part of its frames to show, and the shell that shows it."""

    error: BaseException
    frames: TracebackType | None
    shell: InteractiveShell


def problem(error: BaseException, shell: InteractiveShell) -> pb.Problem:
    """Describe what the user's code raised.

    Args:
        error: The exception, with its traceback.
        shell: Knows the cells and the user's traceback style.
    """
    kind = type(error)
    said, hint = text_of(error), ""
    if issubclass(kind, SystemExit):
        said, hint = f"the cell asked to exit{f' with {said}' if said else ''}", _EXIT_HINT
    return pb.Problem(
        type_name=str(kind.__name__),
        module=cut(str(kind.__module__), MESSAGE_BYTES),
        message=said,
        hint=hint,
        traceback=lines(error, shell),
        full_traceback=list(_fitting(_full(error))),
    )


def text_of(error: BaseException) -> str:
    """Return an exception's own text, also where its `__str__` raises."""
    try:
        return cut(str(error), MESSAGE_BYTES)
    except BaseException as second:  # noqa: BLE001  a user's __str__ may raise anything, SystemExit too
        return f"<its __str__ raised {type(second).__name__}>"


def cut(text: str, limit_bytes: int) -> str:
    """Return text that fits, with what was left out counted in its middle."""
    text = text.encode("utf-8", "replace").decode()
    half = limit_bytes // 8
    if len(text) <= limit_bytes // 4:
        return text
    return f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"


def lines(error: BaseException, shell: InteractiveShell) -> list[str]:
    """Render an exception's part from the user's cell on."""
    case = _Case(error, user_part(frames_of(error), shell), shell)
    for render in (_by_its_own, _short, _syntax, _group, _context, _standard):
        try:
            found = render(case)
        except BaseException:  # noqa: BLE001  a rendering that fails leaves it to the next, plainer one
            continue
        if found:
            return list(_fitting(found))
    return [f"{type(error).__name__}: {text_of(error)}"]


def _fitting(found: Iterable[object]) -> Iterator[str]:
    """Yield lines as long as they fit into a message together."""
    room = 4 * TEXT_BYTES
    for line in found:
        text = cut(str(line), TEXT_BYTES)
        room -= len(text.encode())
        if room < 0:
            return
        yield text


def _by_its_own(case: _Case) -> list[str]:
    render = getattr(case.error, "_render_traceback_", None)
    return list(render()) if callable(render) else []


def _short(case: _Case) -> list[str]:
    if issubclass(type(case.error), UsageError):
        return [f"UsageError: {case.error}"]
    return [f"SystemExit: {case.error}", _EXIT_HINT] if issubclass(type(case.error), SystemExit) else []


def _syntax(case: _Case) -> list[str]:
    if not issubclass(type(case.error), SyntaxError):
        return []
    entries = list(traceback.extract_tb(case.frames)) if case.frames else []
    found: list[str] = case.shell.SyntaxTB.structured_traceback(type(case.error), case.error, entries)
    return found


def _group(case: _Case) -> list[str]:
    return _standard(case) if _holds_group(case.error) else []


def _holds_group(error: BaseException | None) -> bool:
    return any(isinstance(link, _GROUP) for link in chain(error))


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and what came before it, each once."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _context(case: _Case) -> list[str]:
    style = copy.copy(
        case.shell.InteractiveTB
    )  # a copy: the formatter keeps the last traceback, and all it holds
    found: list[str] = style.structured_traceback(type(case.error), case.error, case.frames, tb_offset=0)
    return found


def _standard(case: _Case) -> list[str]:
    found = traceback.format_exception(type(case.error), case.error, case.frames)
    return [_named(line).rstrip("\n") for line in found]


def _full(error: BaseException) -> list[str]:
    frames = frames_of(error)
    try:
        found = traceback.format_exception(type(error), error, frames)
    except BaseException:  # noqa: BLE001  the exception's own code may fail here too
        found = [*traceback.format_tb(frames), type(error).__name__]
    return [_named(line).rstrip("\n") for line in found]


def _named(line: str) -> str:
    return _CELL_FILE.sub(r"Cell In[\1], line \2", line)


def frames_of(error: BaseException) -> TracebackType | None:
    """Return an exception's traceback without asking its class, which may be in the way."""
    found: TracebackType | None = BaseException.__dict__["__traceback__"].__get__(error)
    return found


def user_part(trace: TracebackType | None, shell: InteractiveShell) -> TracebackType | None:
    """Return the frames from the first cell on, without IPython's and the runtime's.

    Args:
        trace: All frames.
        shell: Knows which files are cells.

    Returns:
        A traceback of those frames; None where no cell is among them.
    """
    is_cell: Callable[[str], object] = shell.compile.format_code_name
    steps: list[TracebackType] = []
    magic = False
    while trace is not None:
        code = trace.tb_frame.f_code
        if is_cell(code.co_filename):
            steps, magic = [] if magic else steps, False  # a magic's line says less than the line within it
            steps.append(trace)
        elif steps and not code.co_filename.startswith(_OURS):
            steps.append(trace)
        magic = magic or (code.co_name in (CELL_MAGIC, LINE_MAGIC) and len(steps) == 1)
        trace = trace.tb_next
    linked: TracebackType | None = None
    for step in reversed(steps):
        linked = TracebackType(linked, step.tb_frame, step.tb_lasti, step.tb_lineno)
    return linked


def forget() -> None:
    """Let go of the exceptions that Python keeps for debuggers, and of all that their frames hold."""
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        if hasattr(sys, name):
            delattr(sys, name)
