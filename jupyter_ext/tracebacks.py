"""What a failed run raises here, and what the cell shows of it.

    End.problem + "!exception" from the bundle -> the user's own exception, shown with the worker's frames
    a failure with a code                      -> one of ours, shown as `Class: what` and a hint

IPython shows what `_render_traceback_` of the exception returns, so no frame of ours stands between the reader and
the line that failed.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from IPython.core.interactiveshell import InteractiveShell

from jupyter_ext import shortages
from jupyter_ext.absent import hints
from kernel_proxy.errors import RemoteError, WarmcellError, from_failure
from remote_runtime.wire import messages_pb2 as pb

_SHOWN_OTHERWISE = (SyntaxError, SystemExit, getattr(builtins, "BaseExceptionGroup", SystemExit))
"""Classes for which IPython ignores `_render_traceback_` and draws our own frames, or reports no error at all."""


def error_of(
    end: pb.End, exception: BaseException | None, in_cell: bool, holders: Mapping[int, str] | None = None
) -> BaseException:
    """Return what a run that did not end well raises.

    Args:
        end: The run's end, with its problem.
        exception: The user's own exception, where it came back.
        in_cell: Whether a whole cell is shown; an expression may be caught by its class, so that one stays true.
        holders: Sessions by the pid of their process, to name who else takes memory of a device.
    """
    problem = end.problem
    if problem.code:
        return _with_frames(from_failure(problem.code, problem.message, problem.hint), problem.traceback)
    if exception is None and problem.type_name == "KeyboardInterrupt":
        exception = KeyboardInterrupt(problem.message) if problem.message else KeyboardInterrupt()
    if (
        exception is None
        or (in_cell and isinstance(exception, _SHOWN_OTHERWISE))
        or _is_usage_error(exception)
    ):
        exception = stand_in(problem)
    lines = list(problem.traceback) or [f"{problem.type_name}: {problem.message}"]
    return show_as(exception, [*lines, *hints(problem, exception), *shortages.lines(problem, holders or {})])


def stand_in(problem: pb.Problem) -> RemoteError:
    """Return an exception that bears the name of a class which cannot be raised here."""
    namespace = {"__module__": problem.module or "builtins", "__str__": lambda error: error.message}
    kind = type(problem.type_name or "RemoteError", (RemoteError,), namespace)
    return kind(
        problem.message, problem.hint, f"{problem.module}.{problem.type_name}".removeprefix("builtins.")
    )


def show_as(error: BaseException, lines: Sequence[str]) -> BaseException:
    """Make an exception render itself as these lines."""
    shown = [line.rstrip("\n") for line in lines]
    # Through object, because a class may refuse new attributes in a __setattr__ of its own.
    object.__setattr__(error, "_render_traceback_", lambda *_: list(shown))
    return error


def syntax_error(shell: InteractiveShell, error: SyntaxError, source: str, in_cell: bool) -> BaseException:
    """Return what a cell that does not compile raises: shown as IPython shows it for a cell that runs here."""
    error.filename = shell.compile.cache(source, shell.execution_count)
    lines = shell.SyntaxTB.structured_traceback(SyntaxError, error, [])
    if not in_cell:
        return error
    problem = pb.Problem(type_name=type(error).__name__, module="builtins", message=str(error))
    return show_as(stand_in(problem), lines)


@contextmanager
def shown_short() -> Iterator[None]:
    """Show our own errors as their text alone, and an interrupt without our frames."""
    try:
        yield
    except WarmcellError as error:
        raise error if hasattr(error, "_render_traceback_") else show_as(error, [_line(error)])
    except KeyboardInterrupt as error:
        raise error if hasattr(error, "_render_traceback_") else show_as(error, [_line(error)])


def _line(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _with_frames(error: WarmcellError, frames: Sequence[str]) -> WarmcellError:
    show_as(error, [*frames, _line(error)])
    return error


def _is_usage_error(error: BaseException) -> bool:
    return type(error).__name__ == "UsageError" and type(error).__module__.startswith("IPython.")
